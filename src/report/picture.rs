//! A drawing as SVG, and as PNG by rendering that SVG with fonts of our own: no system font is needed.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

use crate::run::storage::{Disk, StorageError, replace};

/// Pixels of the PNG for each unit of the drawing.
const PNG_SCALE: f32 = 2.0;

/// Subsets of DejaVu Sans (`fonts/LICENSE-DejaVu.txt`): Latin, Greek and some mathematical signs.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(include_bytes!("fonts/DejaVuSans-subset.ttf").to_vec());
    fonts.load_font_data(include_bytes!("fonts/DejaVuSans-Bold-subset.ttf").to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// A picture that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Neither .svg nor .png.
    #[error("{0} should end in .svg or .png")]
    Extension(String),
    /// The drawing cannot be turned into pixels.
    #[error("the picture cannot be rendered: {0}")]
    Render(String),
    /// The file cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A finished drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The SVG text.
    pub svg: String,
}

impl Picture {
    /// The drawing as a PNG file, two pixels a unit.
    ///
    /// # Errors
    /// When the SVG is not one, or its size is beyond reason.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        let options = Options {
            font_family: "DejaVu Sans".to_owned(),
            fontdb: Arc::clone(&FONTS),
            ..Options::default()
        };
        let render = |error: String| PictureError::Render(error);
        let tree =
            Tree::from_str(&self.svg, &options).map_err(|error| render(error.to_string()))?;
        let size = tree.size();
        let [width, height] =
            [size.width(), size.height()].map(|length| (length * PNG_SCALE).ceil() as u32);
        let mut pixels = Pixmap::new(width, height)
            .ok_or_else(|| render(format!("{width} × {height} pixels")))?;
        resvg::render(&tree, Transform::from_scale(PNG_SCALE, PNG_SCALE), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| render(error.to_string()))
    }

    /// Writes the picture in the format that the file's name ends in.
    ///
    /// # Errors
    /// When the name ends in neither .svg nor .png, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), PictureError> {
        let bytes = match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => self.svg.clone().into_bytes(),
            Some("png") => self.png()?,
            _ => return Err(PictureError::Extension(path.display().to_string())),
        };
        Ok(replace(&Disk, path, &bytes)?)
    }
}
