//! Bounds of the actions: the control ranges of a model's actuators.

use mujoco_rs::wrappers::{MjModel, MjtObjBase};

use super::names::name_of;
use crate::env::EnvironmentError;

/// Lowest and highest control of every actuator.
pub(crate) fn limits(
    model: &MjModel,
    model_name: &str,
) -> Result<(Vec<f64>, Vec<f64>), EnvironmentError> {
    let fail =
        |message: &str| Err(EnvironmentError::description(&format!("{model_name}: {message}")));
    if model.nu() == 0 {
        return fail(
            "the model has no actuators, so there is nothing to act with: an <actuator> section with a <motor> or \
             <position> for each joint gives it some",
        );
    }
    let ranges = model.actuator_ctrlrange();
    for (control, (&limited, range)) in model.actuator_ctrllimited().iter().zip(ranges).enumerate()
    {
        if let Err(fault) = check(limited, *range) {
            let number = format!("actuator {control}");
            let actuator = match name_of(model, MjtObjBase::mjOBJ_ACTUATOR, control) {
                Some(name) => format!("{number} (`{name}`)"),
                None => number,
            };
            return fail(&format!("{actuator} {fault}"));
        }
    }
    Ok(ranges.iter().map(|&[low, high]| (low, high)).unzip())
}

/// What is wrong with an actuator's range, if anything. Policies act in single precision, in which the bounds must be two
/// numbers with a finite distance.
fn check(limited: bool, [low, high]: [f64; 2]) -> Result<(), String> {
    if !limited {
        return Err(if [low, high] == [0.0; 2] {
            "has no ctrlrange, so its actions have no bounds: give it one, such as ctrlrange=\"-1 1\"".to_owned()
        } else {
            format!(
                "has ctrllimited=\"false\", so that its ctrlrange of {low} to {high} does not hold and its actions have no \
                 bounds: write ctrllimited=\"true\""
            )
        });
    }
    let width = high as f32 - low as f32;
    if !low.is_finite() || !high.is_finite() {
        Err(format!("has the ctrlrange {low} to {high}, which must be two finite numbers"))
    } else if !width.is_finite() {
        Err(format!("has the ctrlrange {low:e} to {high:e}, which is too wide to compute with"))
    } else if width <= 0.0 {
        Err(format!(
            "has the ctrlrange {low} to {high}, which leaves nothing to choose in single precision: the upper bound must be \
             above the lower one"
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_that_can_be_computed_with_pass() {
        for range in
            [[-1.0, 1.0], [0.0, 0.04], [-1e-5, 1e-5], [-1e6, 1e7], [0.0, f64::from(f32::MAX)]]
        {
            assert_eq!(check(true, range), Ok(()), "{range:?}");
        }
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        for range in [
            [nan, nan],
            [-inf, inf],
            [0.0, inf],
            [nan, 1.0],
            [-1.0, nan],
            [0.0, 1e39],
            [-3e38, 3e38],
            [1.0, 1.0],
            [1.0, 0.0],
            [1.0, 1.0 + 1e-9],
            [0.0, 1e-60],
        ] {
            assert!(check(true, range).is_err(), "{range:?}");
        }
        assert!(check(false, [0.0, 0.0]).unwrap_err().contains("has no ctrlrange"));
        assert!(check(false, [-1.0, 1.0]).unwrap_err().contains("ctrllimited=\"false\""));
    }
}
