//! The learning curve, drawn when a run is finished.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::curves;
use super::runs::CurveError;
use crate::session::sink::{End, Ended, Sink, SinkError};

/// Draws the learning curve into the folder of a run that is finished.
#[derive(Default)]
pub struct CurveAtEnd {
    /// Where it is, once it is drawn.
    pub drawn: Arc<OnceLock<[PathBuf; 2]>>,
}

impl Sink for CurveAtEnd {
    fn name(&self) -> &str {
        "the curve"
    }

    fn end(&mut self, session: Ended<'_>) -> Result<(), SinkError> {
        if !matches!(session.end, Some(End::Finished | End::Solved)) {
            return Ok(());
        }
        match curves::learning_curves(&[session.root.to_owned()], &[]) {
            Ok(curves) => {
                let files = ["curve.svg", "curve.png"].map(|name| session.root.join(name));
                files.iter().try_for_each(|file| curves.picture.write(file))?;
                let _ = self.drawn.set(files);
                Ok(())
            }
            // Runs too short for one, as tests of a set-up are.
            Err(CurveError::Empty(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
