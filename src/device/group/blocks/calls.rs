//! How many steps or updates are made in a call.

/// Of so many a program is made: one of them, and one of a single step for what remains. A longer program takes longer to compile, which
/// processors do slowly; on accelerators it saves starts.
pub(super) fn per_call(platform: &str) -> usize {
    if platform == "cpu" { 1 } else { 5 }
}

/// The calls that make `count` steps: `together` at a time, then single ones. How many steps each makes.
pub(super) fn calls(count: usize, together: usize) -> impl Iterator<Item = usize> {
    let (long, single) = (count / together, count % together);
    std::iter::repeat_n(together, long).chain(std::iter::repeat_n(1, single))
}
