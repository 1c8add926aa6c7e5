//! `ddppo theory`.

use std::process::ExitCode;

use ddppo::lab::figures::theory;
use ddppo::lab::theory::LinearTask;
use ddppo::lab::theory::theorem1::{BiasFactors, Growth, grow};
use ddppo::lab::theory::theorem2::{Descent, REWARD_SCALE, descend, sizes};

use super::figure::write;
use super::output::{UsageError, print};
use crate::cli::TheoryArgs;

/// Checks both theorems and draws what was measured beside what they allow.
pub fn run(args: &TheoryArgs) -> anyhow::Result<ExitCode> {
    // Above, sums over time would take minutes.
    if !(0.1..=0.995).contains(&args.discount) {
        let message = format!("--discount is {}, but must be from 0.1 to 0.995", args.discount);
        return Err(UsageError(message).into());
    }
    let task = LinearTask::new(args.discount, args.seed);
    let flatter = task.clone().scaled(REWARD_SCALE);
    let growths = grow(&task, args.seed);
    let descents: Vec<Descent> = [0.0, 0.25, 1.0]
        .into_iter()
        .map(sizes)
        .map(|sizes| descend(&flatter, sizes, u64::from(args.updates), args.seed))
        .collect();
    if let Some(folder) = &args.output {
        let (picture, csv) = (theory::theorem1_picture(&growths), theory::theorem1_csv(&growths));
        write(folder, "theorem1", &picture, &csv)?;
        let (picture, csv) = (theory::theorem2_picture(&descents), theory::theorem2_csv(&descents));
        write(folder, "theorem2", &picture, &csv)?;
    }
    print(&(constants(&task) + &first(&growths) + &second(&descents)))?;
    let holds = growths.iter().flat_map(|growth| &growth.biases).all(|b| b.measured <= b.bound)
        && descents.iter().flat_map(|descent| &descent.progress).all(|p| p.smallest <= p.bound);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn constants(task: &LinearTask) -> String {
    let c = task.constants(1.0, 0.0);
    let factors = BiasFactors::new(&c);
    format!(
        "point mass, a = K·s + φ, γ = {}; exact predictions, ‖φ‖ ≤ 1\n\
         L_f {:.4}  L_r {:.4}  L_r^g {:.4}  L_π {}  L_1 {}  largest ‖s‖ {:.3}  C6 {:.1}  C7 {:.1}  C8 {:.1}\n",
        c.discount,
        c.transition,
        c.reward,
        c.reward_gradient,
        c.policy,
        c.stationary,
        c.radius,
        factors.reward_gradient,
        factors.transition_gradient,
        factors.prediction
    )
}

fn first(growths: &[Growth]) -> String {
    let mut out = format!(
        "\nTheorem 1: bias of the policy gradient\n{:<12}{:>12}{:>12}{:>12}{:>14}{:>12}\n",
        "grows", "ε_f", "ε_f^g", "ε_r^g", "measured", "bound"
    );
    for growth in growths {
        for b in &growth.biases {
            let s = &b.sizes;
            out += &format!(
                "{:<12}{:>12.2e}{:>12.2e}{:>12.2e}{:>14.3e}{:>12.3e}\n",
                growth.name,
                s.prediction,
                s.transition_gradient,
                s.reward_gradient,
                b.measured,
                b.bound
            );
        }
    }
    out
}

fn second(descents: &[Descent]) -> String {
    let mut out = String::new();
    for descent in descents {
        let s = &descent.sizes;
        out += &format!(
            "\nTheorem 2: smallest ‖dJ/dφ‖² with ε_f {}, ε_f^g {}, ε_r^g {}; measured bias² {:.3e}\n{:>12}{:>14}{:>14}{:>26}\n",
            s.prediction,
            s.transition_gradient,
            s.reward_gradient,
            descent.largest_bias.powi(2),
            "updates",
            "measured",
            "bound",
            "bound by measured bias"
        );
        for p in &descent.progress {
            out += &format!(
                "{:>12}{:>14.3e}{:>14.3e}{:>26.3e}\n",
                p.updates, p.smallest, p.bound, p.bound_by_measured_bias
            );
        }
    }
    out
}
