//! What all commands say: text, and mistakes.

use std::io::Write;

/// A mistake of the user that no other error type stands for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Prints to standard output; an error when nobody reads it, where `println!` would panic.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
