//! A picture, as an environment draws it.

/// An RGB picture, row after row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of every pixel, `[height * width * 3]`.
    pub rgb: Vec<u8>,
}

impl Frame {
    /// A black picture.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![0; width * height * 3] }
    }
}
