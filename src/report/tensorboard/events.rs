//! What is in event files: messages by the field numbers of TensorFlow's published `event.proto`, `summary.proto` and `tensor.proto`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::run::metrics::as_number;
use crate::run::protobuf::{Field, Message, fields};

/// Tag of the film.
pub(super) const FILM: &str = "evaluation/film";
/// Tag of the configuration.
const CONFIGURATION: &str = "configuration";

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// An `Event`, to be completed: when it happened, and at which step.
fn event(wall_time: f64, step: u64) -> Message {
    Message::new().double(1, wall_time).whole(2, step)
}

fn summary(wall_time: f64, step: u64, values: &[Message]) -> Message {
    let summary = values.iter().fold(Message::new(), |summary, value| summary.message(1, value));
    event(wall_time, step).message(5, &summary)
}

/// What every file begins with.
pub(super) fn version(wall_time: f64) -> Message {
    event(wall_time, 0).text(3, "brain.Event:2")
}

/// What a file begins with that takes another's place: readers who have seen that one forget its steps.
pub(super) fn restart(wall_time: f64) -> Message {
    // `SessionLog` with the status START.
    event(wall_time, 0).message(7, &Message::new().whole(1, 1))
}

/// The configuration, as text.
pub(super) fn configuration(wall_time: f64, toml: &str) -> Message {
    // Indented: Markdown leaves it as it is.
    let text: String = toml.lines().map(|line| format!("    {line}\n")).collect();
    let plugin = Message::new().message(1, &Message::new().text(1, "text"));
    // A `TensorProto` of strings, `DT_STRING`, with one dimension.
    let shape = Message::new().message(2, &Message::new().whole(1, 1));
    let tensor = Message::new().whole(1, 7).message(2, &shape).text(8, &text);
    let value = Message::new().text(1, CONFIGURATION).message(8, &tensor).message(9, &plugin);
    summary(wall_time, 0, &[value])
}

/// A line of `metrics.jsonl`: its numbers under the line's kind and their names; `None` where it has none. Lists are left out.
pub(super) fn scalars(
    wall_time: f64,
    step: u64,
    kind: &str,
    values: &Map<String, Value>,
    time: &Map<String, Value>,
) -> Option<Message> {
    let own = values.iter().map(|(name, value)| (format!("{kind}/{name}"), value));
    let times = time.iter().map(|(name, value)| (format!("{kind}/time.{name}"), value));
    let scalar = |(tag, value): (String, &Value)| {
        let number = as_number(value)?;
        Some(Message::new().text(1, &tag).float(2, number as f32))
    };
    let scalars: Vec<Message> = own.chain(times).filter_map(scalar).collect();
    (!scalars.is_empty()).then(|| summary(wall_time, step, &scalars))
}

/// A film, as a GIF file.
pub(super) fn film(wall_time: f64, step: u64, gif: &[u8], width: u64, height: u64) -> Message {
    // Three channels: RGB.
    let image = Message::new().whole(1, height).whole(2, width).whole(3, 3).bytes(4, gif);
    summary(wall_time, step, &[Message::new().text(1, FILM).message(4, &image)])
}

/// What is taken over from an event of an older file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub wall_time: f64,
    pub step: u64,
    /// The first value's tag; nothing where there is no value.
    pub tag: String,
}

/// Reads an event; `None` where it is none.
pub(super) fn seen(content: &[u8]) -> Option<Seen> {
    let mut seen = Seen { wall_time: 0.0, step: 0, tag: String::new() };
    for (field, value) in fields(content)? {
        match (field, value) {
            (1, Field::Double(wall_time)) => seen.wall_time = wall_time,
            (2, Field::Whole(step)) => seen.step = step,
            (5, Field::Bytes(summary)) => seen.tag = first_tag(summary)?,
            _ => {}
        }
    }
    seen.wall_time.is_finite().then_some(seen)
}

fn first_tag(summary: &[u8]) -> Option<String> {
    let value = fields(summary)?.into_iter().find_map(|field| match field {
        (1, Field::Bytes(value)) => Some(value),
        _ => None,
    })?;
    fields(value)?.into_iter().find_map(|field| match field {
        (1, Field::Bytes(tag)) => String::from_utf8(tag.to_vec()).ok(),
        _ => None,
    })
}
