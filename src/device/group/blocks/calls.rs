//! How many steps or updates are made in a call.

/// Of so many a program is made: one of them, and one of a single step for what remains. A longer program takes longer to compile, which
/// processors do slowly; on accelerators it saves starts.
pub(super) fn per_call(platform: &str) -> usize {
    if platform == "cpu" { 1 } else { 5 }
}

/// The calls that make `count` steps, as many as `together` at a time, then single ones: `true` for a call of `together`.
pub(super) fn calls(count: usize, together: usize) -> impl Iterator<Item = bool> {
    let (long, single) = (count / together, count % together);
    std::iter::repeat_n(true, long).chain(std::iter::repeat_n(false, single))
}
