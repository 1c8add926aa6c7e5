//! Monte-Carlo returns of recorded steps, for the benchmark's way to fit V.

use crate::critic::ValueNetwork;
use crate::data::Replay;
use crate::nn::{Keep, Tape};

/// The discounted returns of the newest `count` transitions, in the order in which they happened: Σ γʲ·r up to the episode's end. An episode
/// that did not terminate there (a time limit, or the newest transition) goes on with V̄ of where it stood.
pub fn discounted_returns(
    real: &Replay,
    count: usize,
    discount: f64,
    value: &ValueNetwork<f32>,
) -> Vec<f32> {
    let mut tape = Tape::new(value.target.shape(), 1, Keep::Nothing);
    let newest = real.pushed();
    let mut returns = vec![0.0; count];
    let mut after = 0.0;
    for (back, to) in returns.iter_mut().rev().enumerate() {
        let row = real.row_of(newest - 1 - back as u64);
        let transition = real.get(row);
        if transition.terminated {
            after = 0.0;
        } else if back == 0 || real.ends_episode(row) {
            tape.input.row_mut(0).copy_from_slice(transition.next_observation);
            value.target.forward(&mut tape, 0..1);
            after = f64::from(tape.output.row(0)[0]);
        }
        after = f64::from(transition.reward) + discount * after;
        *to = after as f32;
    }
    returns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::CriticConfig;
    use crate::data::Transition;
    use crate::rng::Rng;

    #[test]
    fn returns_end_with_their_episodes_and_go_on_with_the_value_where_these_did_not_terminate() {
        let settings =
            CriticConfig { hidden: 4, learning_rate: 1e-3, gradient_clip: 1.0, target_rate: 0.5 };
        let mut value = ValueNetwork::new(1, &settings, &mut Rng::new(0, "returns"));
        // V̄ is 8 everywhere.
        let shape = value.target.shape().clone();
        value.target.update_forward_only(|p| {
            p.fill(0.0);
            p[shape.layers[2].bias.start] = 8.0;
        });
        let mut real = Replay::new(1, 1, 10);
        for (reward, terminated, ended) in [
            (100.0, false, false),
            (1.0, false, false),
            (2.0, true, true),
            (4.0, false, true),
            (16.0, false, false),
            (32.0, false, false),
        ] {
            let (observation, action) = (&[0.0][..], &[0.0][..]);
            let next_observation = observation;
            real.push(Transition { observation, action, reward, next_observation, terminated });
            if ended {
                real.end_episode();
            }
        }
        let returns = discounted_returns(&real, 5, 0.5, &value);
        assert_eq!(returns, [2.0, 2.0, 8.0, 34.0, 36.0]);
    }
}
