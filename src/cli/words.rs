//! What people type, read as they mean it: numbers with an exponent or with their thousands apart, tasks in lower case or
//! with the version that other collections put behind them.

use std::path::Path;

use ddppo::device::DeviceChoice;

use super::run_parts::MOST_RUNS;

/// Tasks that are known by another name elsewhere.
const ELSEWHERE: [(&str, &str); 5] = [
    ("ant", "AntTruncatedObs"),
    ("humanoid", "HumanoidTruncatedObs"),
    ("walker", "Walker2d"),
    ("cheetah", "HalfCheetah"),
    ("pointmass", "PointMass"),
];

/// The task that a word means; the word itself where it means none of them.
///
/// # Errors
/// None: an unknown task is named by the command that wants one.
pub fn task(word: &str) -> Result<String, String> {
    let names = ddppo::env::names();
    if names.contains(&word) {
        return Ok(word.to_owned());
    }
    let wanted = fold(word);
    let same = names.into_iter().find(|name| fold(name) == wanted);
    let known = ELSEWHERE.iter().find(|(other, _)| *other == wanted).map(|(_, name)| *name);
    Ok(same.or(known).unwrap_or(word).to_owned())
}

/// As [`task`], but for a folder's name, which stays as it is.
///
/// # Errors
/// As [`task`].
pub fn run_or_task(word: &str) -> Result<String, String> {
    if Path::new(word).exists() { Ok(word.to_owned()) } else { task(word) }
}

/// Small letters without what joins words, and without a version such as `-v4`.
fn fold(word: &str) -> String {
    let version = |(_, version): &(&str, &str)| {
        !version.is_empty() && version.chars().all(|c| c.is_ascii_digit())
    };
    let lower = word.to_lowercase();
    let name = lower.rsplit_once("-v").filter(version).map_or(&*lower, |(name, _)| name);
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect()
}

/// A whole number of `LEAST` to `MOST`: `1000`, `1_000`, `1e3` and `1.5e3` are ones.
///
/// # Errors
/// Says what would be right.
pub fn count<T: TryFrom<u64>, const LEAST: u64, const MOST: u64>(word: &str) -> Result<T, String> {
    whole(word)
        .filter(|number| (LEAST..=MOST).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| {
            format!("it must be a whole number from {LEAST} to {MOST}, such as 1000, 1_000 or 1e3")
        })
}

/// A seed.
///
/// # Errors
/// Says what would be right.
pub fn seed(word: &str) -> Result<u64, String> {
    const MOST: u64 = i64::MAX as u64;
    whole(word)
        .filter(|&number| number <= MOST)
        .ok_or_else(|| format!("a seed is a whole number from 0 to {MOST}"))
}

/// A return at which to stop; `inf` for none.
///
/// # Errors
/// Says what would be right.
pub fn stop(word: &str) -> Result<f64, String> {
    let number = word.parse().ok().filter(|number: &f64| *number > f64::NEG_INFINITY);
    number.ok_or_else(|| "a return is a number, such as 950 or -150.5, or inf for none".to_owned())
}

/// Most seeds of a group's runs.
const MOST_SEEDS: usize = MOST_RUNS;

/// The seeds of a group's runs, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedList(pub Vec<u64>);

/// SeedList: `0..11` with both ends, `0,3,7`, or several of either.
///
/// # Errors
/// Says what would be right.
pub fn seeds(word: &str) -> Result<SeedList, String> {
    let mut all = Vec::new();
    for part in word.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (seed(first)?, seed(last)?);
        if first > last || last - first >= MOST_SEEDS as u64 {
            return Err(format!("a range of seeds is up to {MOST_SEEDS} of them, such as 0..11"));
        }
        all.extend(first..=last);
    }
    if all.len() > MOST_SEEDS {
        return Err(format!("there are {} seeds, and {MOST_SEEDS} at most", all.len()));
    }
    let mut sorted = all.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("seed {} is there twice", pair[0])),
        None => Ok(SeedList(all)),
    }
}

/// What learns.
///
/// # Errors
/// Says what would be right.
pub fn device(word: &str) -> Result<DeviceChoice, String> {
    match word.split_once(':') {
        Some(("pjrt", file)) if !file.is_empty() => Ok(DeviceChoice::Plugin(file.into())),
        None if word == "cpu" => Ok(DeviceChoice::Cpu),
        None if word == "gpu" => Ok(DeviceChoice::Gpu),
        _ => Err("it is cpu, gpu or pjrt:FILE, the file of a PJRT plugin".to_owned()),
    }
}

/// A duration in seconds.
///
/// # Errors
/// Says what would be right.
pub fn seconds(word: &str) -> Result<f64, String> {
    word.parse().ok().filter(|seconds| (0.04..=600.0).contains(seconds)).ok_or_else(|| {
        "it must be a number of seconds from 0.04, a picture, to 600, such as 8 or 0.5".to_owned()
    })
}

/// A whole number, exactly: digits with `_` between them, or a decimal number with an exponent that makes it whole.
fn whole(word: &str) -> Option<u64> {
    let digits: String = word.chars().filter(|&c| c != '_').collect();
    if digits.is_empty() || word.starts_with('_') || word.ends_with('_') || digits.starts_with('+')
    {
        return None;
    }
    let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else {
        return digits.parse().ok();
    };
    let exponent: u32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let after = after.trim_end_matches('0');
    let zeros = exponent.checked_sub(u32::try_from(after.len()).ok()?)?;
    format!("{before}{after}").parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(zeros)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_by_the_names_that_people_know() {
        for (word, name) in [
            ("hopper", "Hopper"),
            ("Hopper-v4", "Hopper"),
            ("HOPPER-v2", "Hopper"),
            ("half-cheetah", "HalfCheetah"),
            ("half_cheetah", "HalfCheetah"),
            ("halfcheetah-v5", "HalfCheetah"),
            ("cheetah", "HalfCheetah"),
            ("ant", "AntTruncatedObs"),
            ("Ant-v3", "AntTruncatedObs"),
            ("humanoid", "HumanoidTruncatedObs"),
            ("walker2d", "Walker2d"),
            ("inverted pendulum", "InvertedPendulum"),
            ("InvertedPendulum-v4", "InvertedPendulum"),
            ("pendulum", "Pendulum"),
            ("point-mass", "PointMass"),
            ("Hoper", "Hoper"),
            ("Hopper-vx", "Hopper-vx"),
            ("", ""),
        ] {
            assert_eq!(task(word).unwrap(), name, "{word}");
        }
    }

    #[test]
    fn numbers_are_read_as_they_are_meant() {
        for (word, number) in [
            ("1000", 1000),
            ("1e6", 1_000_000),
            ("1E6", 1_000_000),
            ("1e+3", 1000),
            ("1.5e3", 1500),
            ("2.50e1", 25),
            ("1_000_000", 1_000_000),
            ("0e5", 0),
        ] {
            assert_eq!(whole(word), Some(number), "{word}");
        }
        for word in [
            "", "-1", "+5", "1.5", "1.55e1", "e6", "1e", "_1", "1_", "1e99", "0x10", "1e-3",
            "many", "1e6e6",
        ] {
            assert_eq!(whole(word), None, "{word}");
        }
        assert!(count::<u16, 1, 10>("11").unwrap_err().contains("from 1 to 10"));
        assert_eq!((seconds("0.5"), seconds("8")), (Ok(0.5), Ok(8.0)));
        assert_eq!((stop("-1.5e2"), stop("inf")), (Ok(-150.0), Ok(f64::INFINITY)));
        assert!(stop("nan").is_err() && stop("-inf").is_err() && stop("high").is_err());
        assert!(seconds("0").is_err() && seconds("nan").is_err() && seconds("601").is_err());
    }

    #[test]
    fn seeds_are_ranges_and_lists_and_devices_have_names() {
        assert_eq!(seeds("0..3"), Ok(SeedList(vec![0, 1, 2, 3])));
        assert_eq!(seeds("7,0..1,1e2"), Ok(SeedList(vec![7, 0, 1, 100])));
        for (word, problem) in [
            ("3..1", "such as 0..11"),
            ("0..5000", "up to 1024"),
            ("1,0..2", "seed 1 is there twice"),
            ("0..", "whole number"),
            ("", "whole number"),
            ("-1", "whole number"),
        ] {
            let error = seeds(word).unwrap_err();
            assert!(error.contains(problem), "{word}: {error}");
        }
        assert_eq!(device("gpu"), Ok(DeviceChoice::Gpu));
        assert_eq!(device("pjrt:a:b.so"), Ok(DeviceChoice::Plugin("a:b.so".into())));
        assert!(["", "cuda", "pjrt", "pjrt:", "gpu:0"].iter().all(|word| device(word).is_err()));
    }
}
