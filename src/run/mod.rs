//! A run on disk: its directory, its metrics, its checkpoints. Nothing here knows of reinforcement learning.

pub mod checkpoint;
pub mod directory;
pub mod encoding;
pub mod entries;
mod lock;
pub mod manifest;
pub mod metrics;
mod names;
pub mod protobuf;
pub mod snapshot;
pub mod storage;
pub mod tally;
pub mod text;
mod verify;

pub use checkpoint::CheckpointStore;
pub use directory::RunDirectory;
pub use entries::Entries;
pub use metrics::{MetricsLog, Record};
pub use snapshot::{Data, Snapshot, SnapshotError, Tensor};
pub use tally::Tally;
