//! What figures write and say.

use super::super::output::print;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use ddppo::report::Picture;
use ddppo::run::storage::{Disk, StorageError, replace};
use ddppo::session::run::worker_threads;
use ddppo::sweep::trials::PlacedTrial;
use rayon::ThreadPool;

/// Writes a figure in both formats and the table behind it, and says where.
pub(crate) fn write(folder: &Path, name: &str, picture: &Picture, csv: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder).map_err(StorageError::of("create", folder))?;
    let table = folder.join(format!("{name}.csv"));
    replace(&Disk, &table, csv.as_bytes())?;
    print(&format!("{}\n", table.display()))?;
    for extension in ["svg", "png"] {
        let file = folder.join(format!("{name}.{extension}"));
        picture.write(&file)?;
        print(&format!("{}\n", file.display()))?;
    }
    Ok(())
}

/// "2h 3m 10s", to the second.
pub(crate) fn duration(seconds: f64) -> String {
    humantime::format_duration(Duration::from_secs(seconds.round() as u64)).to_string()
}

/// As many threads, or as many as there are cores, which are the most.
pub(crate) fn worker_pool(threads: Option<u16>) -> anyhow::Result<ThreadPool> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(worker_threads(threads));
    builder.build().context("the worker threads cannot be started")
}

/// Says what would be run; `seconds` are `None` for what is finished.
pub(crate) fn say_plan<T>(
    trials: &[PlacedTrial<T>],
    seconds: &[Option<f64>],
) -> anyhow::Result<()> {
    for (PlacedTrial { place, .. }, seconds) in trials.iter().zip(seconds) {
        let place = place.display();
        print(&match seconds {
            Some(seconds) => format!("about {:<8} {place}\n", duration(*seconds)),
            None => format!("finished       {place}\n"),
        })?;
    }
    let total: f64 = seconds.iter().flatten().sum();
    print(&format!(
        "about {} in all, by one minibatch and one measurement timed here just now\n",
        duration(total)
    ))
}
