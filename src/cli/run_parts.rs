//! `--runs`: which runs a group is made of, as words.

/// Most runs of a group.
pub const MOST_RUNS: usize = 1024;

/// Some runs of a group: `no-gradient-loss:4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPart {
    /// A method, or a variant of `--algo`'s.
    pub name: String,
    /// How many; as many as there are seeds if `None`.
    pub count: Option<usize>,
}

/// The parts of a group, each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunParts(pub Vec<RunPart>);

/// RunParts: names with commas between them, each with `:N` behind it where there are to be N runs.
///
/// # Errors
/// Says what would be right.
pub fn parts(word: &str) -> Result<RunParts, String> {
    let mut all: Vec<RunPart> = Vec::new();
    for part in word.split(',') {
        let (name, count) = match part.split_once(':') {
            Some((name, count)) => (name, Some(number(part, count)?)),
            None => (part, None),
        };
        if name.is_empty() {
            return Err(format!(
                "`{part}` names no method or variant: parts are such as ddppo:4 or no-gradient-loss"
            ));
        }
        if all.iter().any(|other| other.name == name) {
            return Err(format!(
                "`{name}` is there twice: give it once, with all its runs behind it"
            ));
        }
        all.push(RunPart { name: name.to_owned(), count });
    }
    Ok(RunParts(all))
}

fn number(part: &str, count: &str) -> Result<usize, String> {
    let number = count.parse().ok().filter(|n| (1..=MOST_RUNS).contains(n));
    number.ok_or_else(|| {
        format!("in `{part}`, what follows the colon is a number of runs from 1 to {MOST_RUNS}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_names_with_numbers_behind_them() {
        let part = |name: &str, count| RunPart { name: name.to_owned(), count };
        let wanted = vec![part("ddppo", Some(4)), part("no-gradient-loss", None)];
        assert_eq!(parts("ddppo:4,no-gradient-loss"), Ok(RunParts(wanted)));
        for (word, problem) in [
            ("", "names no method"),
            ("ddppo,", "names no method"),
            (":4", "names no method"),
            ("ddppo:", "in `ddppo:`, what follows the colon"),
            ("ddppo:0", "from 1 to 1024"),
            ("ddppo:four", "from 1 to 1024"),
            ("ddppo:4:5", "from 1 to 1024"),
            ("ddppo:2,maac,ddppo", "`ddppo` is there twice"),
        ] {
            let error = parts(word).unwrap_err();
            assert!(error.contains(problem), "{word}: {error}");
        }
    }
}
