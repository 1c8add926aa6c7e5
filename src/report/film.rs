//! Films: an episode as an animated GIF, or as MP4 where ffmpeg is installed.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use color_quant::NeuQuant;

use crate::env::{EnvironmentError, Episode, Frame, Task};
use crate::rng::Rng;

/// What to film.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    /// Seed of the episode's start.
    pub seed: u64,
    /// Seconds of simulated time after which the film ends, if the episode does not end before.
    pub seconds: f64,
    /// Pixels a row, an even number.
    pub width: usize,
    /// Rows, an even number.
    pub height: usize,
    /// Name of the camera that films, of those that the model has; the task's choice if `None`.
    pub camera: Option<String>,
}

impl Default for Shot {
    fn default() -> Self {
        Self { seed: 0, seconds: 8.0, width: 400, height: 300, camera: None }
    }
}

/// What was filmed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filmed {
    /// Steps of the environment.
    pub steps: usize,
    /// Pictures.
    pub frames: usize,
    /// Sum of the rewards.
    pub total_reward: f64,
    /// The physics broke in the last step, which ended the film: the sum of rewards is no score.
    pub broke: bool,
}

/// Why there is no film.
#[derive(Debug, thiserror::Error)]
pub enum FilmError {
    /// The environment failed, or cannot be drawn.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The name of the file says no known format.
    #[error("`{0}` must end in .gif or .mp4")]
    Format(String),
    /// The file could not be written.
    #[error("{0} cannot be written: {1}")]
    Write(String, String),
    /// Pictures are too large for a GIF.
    #[error("the film cannot be made: {0}")]
    Picture(String),
    /// MP4 needs a program that is not there.
    #[error(
        "MP4 needs the program ffmpeg, which cannot be started ({0}): install it, or name a .gif file"
    )]
    Encoder(std::io::Error),
}

/// Seconds a picture stays, about.
const FRAME: f64 = 0.04;

/// Runs one episode with `policy` and writes it to `path`, in real time. `progress` hears of every picture: how many are
/// drawn, and how many there will be at most.
///
/// # Errors
/// When the environment fails or cannot be drawn, or when the file cannot be written; nothing is left then.
pub fn record(
    task: &dyn Task,
    shot: &Shot,
    policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
    path: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Filmed, FilmError> {
    let encode: fn(&Shots, &Path) -> Result<(), FilmError> =
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gif") => |shots, path| {
                std::fs::write(path, gif(shots)?).map_err(|error| write_error(path, error))
            },
            Some("mp4") => write_mp4,
            _ => return Err(FilmError::Format(path.display().to_string())),
        };
    let (filmed, shots) = film(task, shot, policy, progress)?;
    encode(&shots, path)?;
    Ok(filmed)
}

/// As [`record`], but gives the content of a GIF file.
///
/// # Errors
/// When the environment fails or cannot be drawn.
pub fn record_gif(
    task: &dyn Task,
    shot: &Shot,
    policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
) -> Result<Vec<u8>, FilmError> {
    gif(&film(task, shot, policy, &mut |_, _| {})?.1)
}

/// Pictures of an episode.
struct Shots {
    frames: Vec<Frame>,
    /// Seconds that each stays.
    seconds: f64,
}

fn film(
    task: &dyn Task,
    shot: &Shot,
    policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Filmed, Shots), FilmError> {
    let step_seconds = task.step_seconds().unwrap_or(FRAME);
    let steps_a_frame = (FRAME / step_seconds).round().max(1.0) as usize;
    let steps = ((shot.seconds / step_seconds).ceil() as usize).min(task.time_limit());
    let most_frames = steps.div_ceil(steps_a_frame) + 1;

    let mut resets = Rng::new(shot.seed, "film resets");
    let mut actions = Rng::new(shot.seed, "film actions");
    let mut episode = Episode::begin(task, &mut resets)?;
    let mut frames = Vec::new();
    let mut draw = |episode: &Episode| {
        let mut picture = Frame::new(shot.width, shot.height);
        episode.environment().draw(shot.camera.as_deref(), &mut picture)?;
        frames.push(picture);
        progress(frames.len(), most_frames);
        Ok::<_, EnvironmentError>(())
    };
    draw(&episode)?;
    let mut broke = false;
    while episode.length() < steps {
        let action = policy(episode.observation(), &mut actions);
        let outcome = episode.step(&action)?;
        let (over, length) = (outcome.terminated || outcome.broke, episode.length());
        broke = episode.take_warning().is_some();
        if !over && (length.is_multiple_of(steps_a_frame) || length == steps) {
            draw(&episode)?;
        }
        if over {
            break;
        }
    }
    let filmed = Filmed {
        steps: episode.length(),
        frames: frames.len(),
        total_reward: episode.total_reward(),
        broke,
    };
    Ok((filmed, Shots { frames, seconds: steps_a_frame as f64 * step_seconds }))
}

fn write_error(path: &Path, error: impl ToString) -> FilmError {
    FilmError::Write(path.display().to_string(), error.to_string())
}

/// Index of the colour that means "as before".
const UNCHANGED: u8 = 255;

/// 255 colours for all frames, and the nearest of them to every colour, looked up by its five highest bits a channel.
struct Palette {
    rgb: Vec<u8>,
    nearest: Vec<u8>,
}

impl Palette {
    fn new(frames: &[Frame]) -> Self {
        // A prime stride over the pixels of all frames, for some 200 000 samples.
        let pixels: usize = frames.iter().map(|frame| frame.width * frame.height).sum();
        let stride = (pixels / 200_000).max(1) | 1;
        let all = frames.iter().flat_map(|frame| frame.rgb.chunks_exact(3));
        let samples: Vec<u8> =
            all.step_by(stride).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
        let quantizer = NeuQuant::new(10, usize::from(UNCHANGED), &samples);
        let channel = |bits: usize| (bits as u8 & 31) << 3 | 4;
        let nearest = (0..1 << 15)
            .map(|key: usize| {
                quantizer.index_of(&[channel(key >> 10), channel(key >> 5), channel(key), 255])
                    as u8
            })
            .collect();
        let mut rgb = quantizer.color_map_rgb();
        rgb.resize(3 * 256, 0);
        Self { rgb, nearest }
    }

    fn index(&self, rgb: &[u8]) -> u8 {
        let bits = |channel: u8| usize::from(channel >> 3);
        self.nearest[bits(rgb[0]) << 10 | bits(rgb[1]) << 5 | bits(rgb[2])]
    }
}

/// The content of a GIF file; nothing of no pictures.
fn gif(shots: &Shots) -> Result<Vec<u8>, FilmError> {
    let Shots { frames, seconds } = shots;
    let Some(first) = frames.first() else { return Ok(Vec::new()) };
    let palette = Palette::new(frames);
    let (width, height) = (first.width as u16, first.height as u16);
    let mut bytes = Vec::new();
    let failed = |error: gif::EncodingError| FilmError::Picture(error.to_string());
    {
        let mut encoder =
            gif::Encoder::new(&mut bytes, width, height, &palette.rgb).map_err(failed)?;
        encoder.set_repeat(gif::Repeat::Infinite).map_err(failed)?;
        let mut before: Vec<u8> = Vec::new();
        for frame in frames {
            let now: Vec<u8> = frame.rgb.chunks_exact(3).map(|rgb| palette.index(rgb)).collect();
            let shown: Vec<u8> = if before.is_empty() {
                now.clone()
            } else {
                now.iter()
                    .zip(&before)
                    .map(|(now, before)| if now == before { UNCHANGED } else { *now })
                    .collect()
            };
            let frame = gif::Frame {
                width,
                height,
                buffer: shown.into(),
                delay: (100.0 * seconds).round().max(2.0) as u16,
                dispose: gif::DisposalMethod::Keep,
                transparent: Some(UNCHANGED),
                ..gif::Frame::default()
            };
            encoder.write_frame(&frame).map_err(failed)?;
            before = now;
        }
    }
    Ok(bytes)
}

fn write_mp4(shots: &Shots, path: &Path) -> Result<(), FilmError> {
    let Shots { frames, seconds } = shots;
    let Some(first) = frames.first() else { return Ok(()) };
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"])
        .args(["-s", &format!("{}x{}", first.width, first.height)])
        .args(["-r", &format!("{}", 1.0 / seconds), "-i", "-", "-pix_fmt", "yuv420p"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(FilmError::Encoder)?;
    let mut input = ffmpeg.stdin.take().expect("the input was piped");
    // If ffmpeg ends early the write fails, and its own message says more.
    let written = frames.iter().try_for_each(|frame| input.write_all(&frame.rgb));
    drop(input);
    let output = ffmpeg.wait_with_output().map_err(|error| write_error(path, error))?;
    if output.status.success() {
        return written.map_err(|error| write_error(path, error));
    }
    let _ = std::fs::remove_file(path);
    let said = String::from_utf8_lossy(&output.stderr);
    Err(write_error(path, said.trim().lines().last().unwrap_or("ffmpeg failed")))
}
