//! Event files for TensorBoard, beside `metrics.jsonl` (docs/metrics.md, "TensorBoard"). They are written by hand: framing, checksum
//! and messages are a page, and the crates that have them bring a framework along.

mod crc32c;
mod events;
mod kept;
mod records;
mod sink;

pub use sink::TensorBoard;
