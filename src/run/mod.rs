//! A run on disk: its directory, its metrics, its checkpoints. Nothing here knows of reinforcement learning.

pub mod metrics;
pub mod snapshot;

pub use metrics::Record;
pub use snapshot::{Data, Snapshot, SnapshotError, Tensor};
