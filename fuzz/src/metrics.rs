//! `metrics.jsonl`: read for plots, cut back when a run is resumed.

use std::fs;
use std::path::PathBuf;

use ddppo::run::metrics::{MetricsLog, Record, read};

use super::{Seeds, one_sentence, selected};

/// A few records as a run writes them.
pub fn seeds() -> Seeds {
    let mut train = Record::new("train", 250);
    train.put("policy_loss", -0.125);
    train.put("critic_loss", f64::NAN);
    train.put_count("episodes", 3);
    train.put_seconds("policy", 0.5);
    let mut evaluation = Record::new("evaluation", 250);
    evaluation.put("return_mean", 1e300);
    evaluation.put_list("returns", &[f64::INFINITY, -0.0, 5e-324]);
    let whole = format!("{}\n{}\n", train.to_line(), evaluation.to_line());
    // The first byte is the number of lines that a checkpoint knows of.
    vec![
        selected(0, whole.as_bytes()),
        selected(1, whole.as_bytes()),
        selected(2, whole.as_bytes()),
        selected(3, whole.as_bytes()),
        selected(1, train.to_line().as_bytes()),
    ]
}

/// What is read has numbers where it says so; what is cut back has as many lines as the checkpoint knows of.
pub fn check(data: &[u8]) {
    let Some((&lines, content)) = data.split_first() else { return };
    let path = file();
    fs::write(&path, content).expect("the temporary folder can be written");
    match read(&path) {
        Ok(records) => {
            let ends = content.iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(records.len(), ends, "one record a line");
            for record in records {
                for (key, _) in record.values.iter().filter(|(_, value)| value.is_number()) {
                    assert!(record.get(key).is_some_and(f64::is_finite), "{key} is a number");
                }
            }
        }
        Err(error) => drop(one_sentence(&error)),
    }
    match MetricsLog::open(&path, lines.into()) {
        Ok(mut log) => {
            let next = Record::new("train", 7);
            log.append(std::slice::from_ref(&next)).expect("the temporary folder can be written");
            drop(log);
            let left = fs::read(&path).expect("it is there");
            let ends = left.iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(ends, usize::from(lines) + 1);
            assert!(content.starts_with(&left[..left.len() - next.to_line().len() - 1]));
        }
        Err(error) => {
            one_sentence(&error);
            assert_eq!(fs::read(&path).expect("it is there"), content, "an error changes nothing");
        }
    }
}

/// Removes the file that the checks were made with.
pub fn clean() {
    let _ = fs::remove_file(file());
}

fn file() -> PathBuf {
    std::env::temp_dir().join(format!("ddppo-fuzz-metrics-{}", std::process::id()))
}
