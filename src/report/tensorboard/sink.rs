//! The sink that writes a run's event file.
//!
//! There is one file, and it holds what `metrics.jsonl` holds. A session begins by writing it anew from there, so that it is cut back
//! as the metrics are, whatever a crash or a full disk has left in it, and whenever it was turned on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::env::EnvironmentError;
use crate::report::film::{FilmError, Shot, record_gif};
use crate::run::Record;
use crate::run::directory::metrics_path;
use crate::run::metrics;
use crate::run::protobuf::Message;
use crate::run::storage::{Disk, Storage, StorageError, open_regular};
use crate::session::sink::{Answer, Begun, Ended, Sink, SinkError};
use crate::session::{End, saved};

use super::events::{self, now, seen};
use super::kept::Kept;
use super::records::framed;

/// Seconds of simulated time that a film shows at most: each is some 25 pictures to draw.
const FILM_SECONDS: f64 = 4.0;

/// What a killed session may leave; the next one writes it anew.
const TEMPORARY: &str = ".tmp-events";

/// Writes a run's event file.
#[derive(Debug)]
pub struct TensorBoard {
    film: bool,
    /// Step of the last film that is in the file.
    filmed: Option<u64>,
    open: Option<(PathBuf, File)>,
}

impl TensorBoard {
    /// With a film of the policy at the end of the run, where the task can be drawn, or without.
    pub fn new(film: bool) -> Self {
        Self { film, filmed: None, open: None }
    }

    fn append(&mut self, event: &Message) -> Result<(), SinkError> {
        let (path, file) = self.open.as_mut().ok_or("it was not begun")?;
        // One write each, so that a reader sees whole records.
        file.write_all(&framed(event.encoded())).map_err(StorageError::of("write", path))?;
        Ok(())
    }
}

impl Sink for TensorBoard {
    fn name(&self) -> &str {
        "the event file for TensorBoard"
    }

    fn begin(&mut self, session: Begun<'_>) -> Result<(), SinkError> {
        let Begun { root, config, first_step } = session;
        let kept = Kept::read(root)?;
        let (begun, path) = (now(), kept.next(root, now()));
        let mut file = framed(events::version(begun).encoded());
        let mut put = |event: &[u8]| file.extend(framed(event));
        if !kept.files.is_empty() {
            put(events::restart(begun).encoded());
        }
        put(events::configuration(begun, &config.to_toml()).encoded());
        let mut films = kept.films.iter().filter(|(step, _)| **step <= first_step).peekable();
        for mut line in metrics::read(&metrics_path(root))? {
            while let Some((step, film)) = films.next_if(|(step, _)| **step < line.step) {
                self.filmed = Some(*step);
                put(film);
            }
            let time = match line.values.shift_remove("time") {
                Some(Value::Object(time)) => time,
                _ => Map::new(),
            };
            let at =
                |wall_time| events::scalars(wall_time, line.step, &line.kind, &line.values, &time);
            let Some(event) = at(begun) else { continue };
            let known =
                seen(event.encoded()).and_then(|seen| kept.times.get(&(seen.step, seen.tag)));
            let event = known.and_then(|&wall_time| at(wall_time)).unwrap_or(event);
            put(event.encoded());
        }
        for (step, film) in films {
            self.filmed = Some(*step);
            put(film);
        }
        // Under a name that TensorBoard does not look for, until it is whole.
        let temporary = root.join(TEMPORARY);
        Disk.write(&temporary, &file).map_err(StorageError::of("write", &temporary))?;
        Disk.rename(&temporary, &path).map_err(StorageError::of("write", &path))?;
        for old in kept.files {
            fs::remove_file(&old).map_err(StorageError::of("remove", &old))?;
        }
        let open = open_regular(OpenOptions::new().append(true), &path);
        self.open = Some((path.clone(), open.map_err(StorageError::of("open", &path))?));
        Ok(())
    }

    fn step(&mut self, _: u64, records: &[Record]) -> Result<Answer, SinkError> {
        for Record { kind, step, values, time } in records {
            if let Some(event) = events::scalars(now(), *step, kind, values, time) {
                self.append(&event)?;
            }
        }
        Ok(Answer::GoOn)
    }

    fn end(&mut self, session: Ended<'_>) -> Result<(), SinkError> {
        let Ended { root, step, end, .. } = session;
        let done = matches!(end, Some(End::Finished | End::Solved));
        if !self.film || !done || self.filmed == Some(step) {
            return Ok(());
        }
        let run = saved::load(root, false, &mut |_| {})?;
        let shot = Shot { seconds: FILM_SECONDS, ..Shot::default() };
        match record_gif(run.task(), &shot, &mut saved::trained(&run)) {
            // Not every task has a picture.
            Err(FilmError::Environment(EnvironmentError::Unsupported(_))) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(gif) => {
                let [width, height] = [shot.width, shot.height].map(|pixels| pixels as u64);
                self.append(&events::film(now(), step, &gif, width, height))
            }
        }
    }
}
