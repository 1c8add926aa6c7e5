//! `ddppo resume`.

use std::process::ExitCode;

use ddppo::session::start::{self, Until};

use crate::cli::ResumeArgs;

/// Continues a run from its newest checkpoint that is whole and fits.
pub fn run(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let until = Until { steps: args.steps, stop_at_return: args.until_return };
    super::train::train(start::resume(&args.run, until)?, args.session)
}
