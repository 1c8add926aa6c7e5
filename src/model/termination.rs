//! What ends imagined episodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who says whether an imagined episode ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TerminationSource {
    /// The task's own function of the state reached.
    #[default]
    Given,
    /// A network that learns it from the real transitions.
    Learned,
}
