//! Pictures of MuJoCo environments, drawn by casting rays into them: MuJoCo finds what a ray meets, for every kind of geom, and
//! no OpenGL, display or system library is needed.

use rayon::prelude::*;

use mujoco_rs::wrappers::{MjModel, MjtGeomBase, MjtTextureRole};

use super::simulation::{Hit, Simulation};
use crate::env::Frame;

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

/// Where the picture is taken from: a camera of the model's, the first if none is chosen, or one that looks at the model's centre of mass along +y.
struct Camera {
    place: Vector,
    right: Vector,
    up: Vector,
    back: Vector,
    /// Half of the height of the picture plane at distance 1.
    half_height: f64,
}

impl Camera {
    fn new(simulation: &Simulation, chosen: Option<usize>) -> Self {
        let (model, data) = (simulation.model(), simulation.data());
        let half_height = |degrees: f64| (0.5 * degrees).to_radians().tan();
        let id = chosen.unwrap_or(0);
        if let (Some(&place), Some(axes)) = (data.cam_xpos().get(id), data.cam_xmat().get(id)) {
            let axis = |k: usize| [axes[k], axes[3 + k], axes[6 + k]];
            let fovy = model.cam_fovy()[id];
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

/// The groups of geoms that are seen: 0 to 2, as in MuJoCo's own viewer, where models keep what is meant to be seen, and
/// the shapes that collide, in the others. All, if nothing that moves is in these.
fn visible_groups(model: &MjModel) -> [u8; 6] {
    let seen = [1, 1, 1, 0, 0, 0];
    let mut moving = model.geom_group().iter().zip(model.geom_bodyid()).filter(|(_, body)| {
        // Weld body 0 is the ground and all that is fixed to it.
        model.body_weldid()[**body as usize] != 0
    });
    let any = moving.any(|(&group, _)| seen.get(group as usize) == Some(&1));
    if any { seen } else { [1; 6] }
}

/// Draws the environment as it was after its last reset or step, by the camera of this index.
pub(crate) fn draw(simulation: &Simulation, camera: Option<usize>, picture: &mut Frame) {
    let camera = Camera::new(simulation, camera);
    let groups = visible_groups(simulation.model());
    let (width, height) = (picture.width, picture.height);
    let aspect = width as f64 / height as f64;
    let shade = |column: f64, row: f64| {
        let (x, y) = (2.0 * column / width as f64 - 1.0, 1.0 - 2.0 * row / height as f64);
        colour(simulation, &groups, camera.place, camera.ray(x, y, aspect))
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
fn colour(simulation: &Simulation, groups: &[u8; 6], from: Vector, direction: Vector) -> Vector {
    let background = blend([0.97, 0.98, 1.0], [0.62, 0.75, 0.92], direction[2].max(0.0).sqrt());
    let Some(hit) = simulation.cast(groups, from, direction) else { return background };
    let place = along(from, direction, hit.distance);
    let normal = if dot(hit.normal, direction) > 0.0 { hit.normal.map(|x| -x) } else { hit.normal };
    let facing = dot(normal, TO_LIGHT).max(0.0);
    let lit =
        facing > 0.0 && simulation.cast(groups, along(place, normal, 1e-3), TO_LIGHT).is_none();
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
    geom_colour(model, hit.geom)
}

/// The colour that MuJoCo gives a geom where nobody says one.
const DEFAULT_COLOUR: [f32; 4] = [0.5, 0.5, 0.5, 1.0];

/// As MuJoCo's own renderer has it: a geom's own colour, or else that of its material, tinted by the mean of its texture.
fn geom_colour(model: &MjModel, geom: usize) -> Vector {
    let own = model.geom_rgba()[geom];
    let material = usize::try_from(model.geom_matid()[geom]).ok();
    let [red, green, blue, _] = match material {
        Some(material) if own == DEFAULT_COLOUR => model.mat_rgba()[material],
        _ => own,
    };
    let colour = [red, green, blue].map(f64::from);
    let texture = material.and_then(|material| {
        usize::try_from(model.mat_texid()[material][MjtTextureRole::mjTEXROLE_RGB as usize]).ok()
    });
    match texture.and_then(|texture| mean_colour(model, texture)) {
        Some(mean) => std::array::from_fn(|k| colour[k] * mean[k]),
        None => colour,
    }
}

/// Pixels of a texture that are looked at for its mean colour.
const TEXTURE_SAMPLES: usize = 256;

fn mean_colour(model: &MjModel, texture: usize) -> Option<Vector> {
    let channels = usize::try_from(model.tex_nchannel()[texture]).ok().filter(|&n| n >= 3)?;
    let size = |side: i32| usize::try_from(side).ok();
    let pixels = size(model.tex_height()[texture])? * size(model.tex_width()[texture])?;
    let start = usize::try_from(model.tex_adr()[texture]).ok()?;
    let data = model.tex_data().get(start..start + pixels * channels)?;
    let stride = (pixels / TEXTURE_SAMPLES).max(1) | 1;
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for pixel in data.chunks_exact(channels).step_by(stride) {
        sum = std::array::from_fn(|k| sum[k] + f64::from(pixel[k]) / 255.0);
        count += 1.0;
    }
    (count > 0.0).then(|| sum.map(|x| x / count))
}
