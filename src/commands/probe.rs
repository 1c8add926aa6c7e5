//! `ddppo probe`.

use std::process::ExitCode;

use ddppo::lab::probe::probe;
use ddppo::run::encoding::encode_with_header;
use ddppo::run::storage::{Disk, replace};

use super::output::{print, saved_run};
use crate::cli::{Precision, ProbeArgs};
use ddppo::run::text::thousands;

/// Writes one policy update and one gradient-loss step of a run into a file.
pub fn run(args: &ProbeArgs) -> anyhow::Result<ExitCode> {
    let run = saved_run(&args.run, false)?;
    let (method, algorithm) = (run.method(), run.config().algorithm());
    let written = match args.precision {
        Precision::F32 => probe::<f32>(method, algorithm, args.seed),
        Precision::F64 => probe::<f64>(method, algorithm, args.seed),
    }?;
    let header = written.header.into_iter().collect();
    let bytes = encode_with_header(&written.tensors, Some(header));
    replace(&Disk, &args.output, &bytes)?;
    print(&format!(
        "{}: {} tensors, {:.1} MB, of the run at step {}\n",
        args.output.display(),
        written.tensors.len(),
        bytes.len() as f64 / 1e6,
        thousands(run.step()),
    ))?;
    Ok(ExitCode::SUCCESS)
}
