//! Pictures of MuJoCo worlds, drawn by casting rays into them: MuJoCo finds what a ray meets, for every kind of geom, and
//! no OpenGL, display or system library is needed.

use rayon::prelude::*;

use mujoco_rs::wrappers::MjtGeomBase;

use super::simulation::{Hit, Simulation};

/// An RGB picture, row after row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of every pixel, `[height * width * 3]`.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A black picture.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![0; width * height * 3] }
    }
}

type Vector = [f64; 3];

/// Light comes from this direction, over the shoulder of a camera that looks along +y.
const TO_LIGHT: Vector = [-0.30, -0.55, 0.78];
/// Brightness where no light falls.
const AMBIENT: f64 = 0.45;
/// Metres after which the ground has faded into the background by 1/e.
const FADE: f64 = 14.0;
/// Rays along each side of a pixel on an edge.
const EDGE_RAYS: usize = 3;
/// Difference of a colour channel between neighbours that makes an edge.
const EDGE: f64 = 0.04;

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn along(a: Vector, b: Vector, length: f64) -> Vector {
    std::array::from_fn(|k| a[k] + length * b[k])
}

fn blend(a: Vector, b: Vector, part: f64) -> Vector {
    std::array::from_fn(|k| a[k] + part * (b[k] - a[k]))
}

/// Where the picture is taken from: the model's first camera, or one that looks at the model's centre of mass along +y.
struct Camera {
    place: Vector,
    right: Vector,
    up: Vector,
    back: Vector,
    /// Half of the height of the picture plane at distance 1.
    half_height: f64,
}

impl Camera {
    fn new(simulation: &Simulation) -> Self {
        let (model, data) = (simulation.model(), simulation.data());
        let half_height = |degrees: f64| (0.5 * degrees).to_radians().tan();
        if let (Some(&place), Some(axes)) = (data.cam_xpos().first(), data.cam_xmat().first()) {
            let axis = |k: usize| [axes[k], axes[3 + k], axes[6 + k]];
            let fovy = model.cam_fovy()[0];
            return Self {
                place,
                right: axis(0),
                up: axis(1),
                back: axis(2),
                half_height: half_height(fovy),
            };
        }
        // A quarter of a right angle above the horizontal, far enough to see the whole model.
        let (sin, cos) = 0.2_f64.sin_cos();
        let back = [0.0, -cos, sin];
        let centre = data.subtree_com()[0];
        Self {
            place: along(centre, back, 1.6 * model.stat().extent),
            right: [1.0, 0.0, 0.0],
            up: [0.0, sin, cos],
            back,
            half_height: half_height(45.0),
        }
    }

    /// Direction through the point (x, y) of the picture, both in −1..1 from its centre, `aspect` its width by height.
    fn ray(&self, x: f64, y: f64, aspect: f64) -> Vector {
        let direction: Vector = std::array::from_fn(|k| {
            self.half_height * (x * aspect * self.right[k] + y * self.up[k]) - self.back[k]
        });
        let length = dot(direction, direction).sqrt();
        direction.map(|x| x / length)
    }
}

/// Draws the world as it was after its last reset or step.
pub(crate) fn draw(simulation: &Simulation, picture: &mut Picture) {
    let camera = Camera::new(simulation);
    let (width, height) = (picture.width, picture.height);
    let aspect = width as f64 / height as f64;
    let shade = |column: f64, row: f64| {
        let (x, y) = (2.0 * column / width as f64 - 1.0, 1.0 - 2.0 * row / height as f64);
        colour(simulation, camera.place, camera.ray(x, y, aspect))
    };
    // One ray a pixel; those that differ from a neighbour are edges, and get more.
    let coarse: Vec<Vector> = (0..width * height)
        .into_par_iter()
        .map(|pixel| shade((pixel % width) as f64 + 0.5, (pixel / width) as f64 + 0.5))
        .collect();
    let edge = |pixel: usize| {
        let (column, row) = (pixel % width, pixel / width);
        let here = coarse[pixel];
        let differs = |other: usize| (0..3).any(|k| (coarse[other][k] - here[k]).abs() > EDGE);
        (column > 0 && differs(pixel - 1))
            || (column + 1 < width && differs(pixel + 1))
            || (row > 0 && differs(pixel - width))
            || (row + 1 < height && differs(pixel + width))
    };
    picture.rgb.par_chunks_mut(3).enumerate().for_each(|(pixel, rgb)| {
        let mut colour = coarse[pixel];
        if edge(pixel) {
            let place =
                |index: usize, ray: usize| index as f64 + (ray as f64 + 0.5) / EDGE_RAYS as f64;
            let rays = (0..EDGE_RAYS * EDGE_RAYS).map(|ray| {
                shade(place(pixel % width, ray % EDGE_RAYS), place(pixel / width, ray / EDGE_RAYS))
            });
            let sum = rays.fold([0.0; 3], |sum, colour| along(sum, colour, 1.0));
            colour = sum.map(|x| x / (EDGE_RAYS * EDGE_RAYS) as f64);
        }
        for (byte, channel) in rgb.iter_mut().zip(colour) {
            *byte = (255.0 * channel.clamp(0.0, 1.0)).round() as u8;
        }
    });
}

/// What is seen along a ray, red, green and blue in 0..1.
fn colour(simulation: &Simulation, from: Vector, direction: Vector) -> Vector {
    let background = blend([0.97, 0.98, 1.0], [0.62, 0.75, 0.92], direction[2].max(0.0).sqrt());
    let Some(hit) = simulation.cast(from, direction) else { return background };
    let place = along(from, direction, hit.distance);
    let normal = if dot(hit.normal, direction) > 0.0 { hit.normal.map(|x| -x) } else { hit.normal };
    let facing = dot(normal, TO_LIGHT).max(0.0);
    let lit = facing > 0.0 && simulation.cast(along(place, normal, 1e-3), TO_LIGHT).is_none();
    let light = AMBIENT + if lit { (1.0 - AMBIENT) * facing } else { 0.0 };
    let seen = surface(simulation, &hit, place).map(|x| x * light);
    if is_plane(simulation, hit.geom) {
        blend(background, seen, (-hit.distance / FADE).exp())
    } else {
        seen
    }
}

fn is_plane(simulation: &Simulation, geom: usize) -> bool {
    simulation.model().geom_type()[geom] == MjtGeomBase::mjGEOM_PLANE
}

/// The colour of a surface: planes are tiled, in squares of half a metre.
fn surface(simulation: &Simulation, hit: &Hit, place: Vector) -> Vector {
    let model = simulation.model();
    if is_plane(simulation, hit.geom) {
        let odd =
            [place[0], place[1]].iter().map(|x| (2.0 * x).floor() as i64).sum::<i64>() % 2 != 0;
        return if odd { [0.80, 0.83, 0.86] } else { [0.93, 0.94, 0.96] };
    }
    let [red, green, blue, _] = model.geom_rgba()[hit.geom].map(f64::from);
    [red, green, blue]
}
