//! Names that a run gives in `checkpoints/`: what has another name is not ours, and stays.

use std::path::Path;

/// The step that a folder is named after, as we write it: `+5` and `005` are none.
pub(super) fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let step: u64 = name.parse().ok()?;
    (step.to_string() == name).then_some(step)
}

/// Whether it is left behind by a save that did not end: `.tmp-<step>`, `.old-<step>`, or such with a number behind it.
pub(super) fn is_leftover(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let step = name.strip_prefix(".tmp-").or_else(|| name.strip_prefix(".old-"));
    step.is_some_and(|step| step.split('-').all(|part| part.parse::<u64>().is_ok()))
}

/// Whether a name is one under which rows were about to be saved.
pub(super) fn is_begun_segment(name: &str) -> bool {
    name.strip_prefix(".tmp-").is_some_and(is_segment)
}

/// Whether a name is one that rows are saved under.
pub(super) fn is_segment(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".safetensors") else { return false };
    let mut parts = stem.rsplit('-');
    let crc =
        parts.next().is_some_and(|crc| u32::from_str_radix(crc, 16).is_ok() && crc.len() == 8);
    let numbers = [parts.next(), parts.next()];
    let numbers = numbers.iter().all(|part| part.is_some_and(|part| part.parse::<u64>().is_ok()));
    crc && numbers && parts.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        assert_eq!(step_of(Path::new("a/120")), Some(120));
        for name in ["+5", "005", "5 ", "-1", "x", "5.bak", "99999999999999999999"] {
            assert_eq!(step_of(Path::new(name)), None, "{name}");
        }
        for name in [".tmp-5", ".old-5", ".tmp-5-1"] {
            assert!(is_leftover(Path::new(name)), "{name}");
        }
        for name in [".DS_Store", ".tmp", ".tmp-x", ".nfs0001", "tmp-5", ".tmp-5-x"] {
            assert!(!is_leftover(Path::new(name)), "{name}");
        }
        assert!(is_segment("real-rewards-0-12-00ab12ff.safetensors"));
        assert!(is_begun_segment(".tmp-real-rewards-0-12-00ab12ff.safetensors"));
        for name in [
            "notes.safetensors",
            "a-0-12-00ab12ff",
            "0-12-00ab12ff.safetensors",
            "a-0-12-0ab.safetensors",
        ] {
            assert!(!is_segment(name), "{name}");
        }
    }
}
