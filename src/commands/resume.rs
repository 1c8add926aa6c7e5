//! `ddppo resume`.

use std::process::ExitCode;

use crate::cli::ResumeArgs;

/// Continues a run from its newest checkpoint that is whole and fits.
pub fn run(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    super::train::train(ddppo::session::start::resume(&args.run, args.steps)?, args.session)
}
