//! What nonsense in a file may do: give an error of one sentence, or be read as something valid. Never a panic.
//!
//! Each module has a `check`, which libFuzzer calls for an hour (`docs/reliability.md`), and the `seeds` it starts from. The
//! suite runs the same checks on a few thousand random mutations (`tests/nonsense.rs`).

pub mod checkpoint;
pub mod config;
pub mod metrics;
pub mod robot;
pub mod run_folder;
pub mod task_file;

/// Inputs to start from.
pub type Seeds = Vec<Vec<u8>>;

/// A user reads it in a terminal: one line, not empty.
fn one_sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    assert!(!text.trim().is_empty() && !text.contains('\n'), "no sentence: {text:?}");
    text
}

/// An input whose first byte selects what the rest is for.
fn selected(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind], content].concat()
}
