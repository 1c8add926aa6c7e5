//! What products in TF32 do to the policies' gradients.

use super::arrays::FetchedStack;
use super::learned::LearnedArrays;
use super::parts::LearnedParts;
use super::pieces::DevicePieces;
use super::updates::{DrawnCall, UpdateProgram};
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::DeviceError;
use crate::methods::Method;
use crate::nn::LearnError;

/// Adam's decay of the first moment, that of `nn::Adam`.
const BETA_1: f64 = 0.9;

/// How far two gradients of a policy's update are apart: ‖g − g'‖/‖g'‖, the mean over runs.
#[derive(Clone, Copy, Debug)]
pub struct GradientDifferences {
    /// Of one minibatch, products in TF32, from the same in single precision.
    pub tf32: f64,
    /// Of two minibatches, in single precision.
    pub minibatch: f64,
}

impl DevicePieces {
    /// Computes them for the present policies, critics and models. Afterwards the pieces are of no use: draws were made and not learned from.
    ///
    /// # Errors
    /// When the device fails, or the runs have no update through models; within it, when numbers break.
    pub fn gradient_differences(
        mut self,
    ) -> Result<Result<GradientDifferences, LearnError>, DeviceError> {
        if let Err(error) = self.ready()? {
            return Ok(Err(error));
        }
        let mut all: Vec<Option<&mut dyn Method>> =
            self.methods.iter_mut().map(|method| Some(&mut **method)).collect();
        self.group.fetch(&mut all)?;
        let Self { group, methods, .. } = &mut self;
        let (Some(path), Some(models)) = (&group.path, &group.models) else {
            return Err(DeviceError::Unsupported(
                "these runs improve no policy through models".to_owned(),
            ));
        };
        let compile = |precision| {
            UpdateProgram::compile(&group.device, &path.shape, path.kind.clone(), 1, precision)
        };
        let mut exact = compile(ProductPrecision::Single)?;
        let mut fast = compile(ProductPrecision::Fast)?;
        let mut parts: Vec<Option<LearnedParts<'_>>> = Vec::new();
        for method in methods {
            parts.push(LearnedParts::of(&mut **method));
        }
        let one = exact.draw(&group.device, &group.recipe, &mut parts)?;
        let other = exact.draw(&group.device, &group.recipe, &mut parts)?;
        let runs: Vec<LearnedParts<'_>> = parts.into_iter().flatten().collect();
        let models = models.path_arrays();
        let gradients = |program: &mut UpdateProgram, drawn: &DrawnCall| {
            let mut arrays = LearnedArrays::upload(&group.device, path.shape.clone(), &runs)?;
            program.call(&group.device, &mut arrays, &models, drawn)?;
            // An update's first moments tell its gradient: m = β₁·m₀ + (1 − β₁)·g.
            let each = arrays.policies().len();
            let moments =
                FetchedStack::fetch(&arrays.buffers[each..2 * each], &path.shape.policy.stack)?;
            let of_run = |(slot, run): (usize, &LearnedParts<'_>)| {
                let before = &run.policy.adam.first;
                let mut after = before.clone();
                moments.write(slot, 0, run.policy.network.shape(), &mut after);
                let one = |(&m, &before): (&f32, &f32)| {
                    (f64::from(m) - BETA_1 * f64::from(before)) / (1.0 - BETA_1)
                };
                after.iter().zip(before).map(one).collect::<Vec<f64>>()
            };
            Ok::<_, DeviceError>(runs.iter().enumerate().map(of_run).collect::<Vec<_>>())
        };
        let expected = gradients(&mut exact, &one)?;
        let tf32 = distance(&gradients(&mut fast, &one)?, &expected);
        let minibatch = distance(&gradients(&mut exact, &other)?, &expected);
        Ok(Ok(GradientDifferences { tf32, minibatch }))
    }
}

/// The mean over runs of ‖g − g'‖/‖g'‖.
fn distance(found: &[Vec<f64>], expected: &[Vec<f64>]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let one = |(found, expected): (&Vec<f64>, &Vec<f64>)| {
        let apart = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
        apart / norm(&mut expected.iter().copied())
    };
    found.iter().zip(expected).map(one).sum::<f64>() / found.len() as f64
}
