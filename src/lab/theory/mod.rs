//! The setting in which the paper's two theorems are checked by numbers: the point mass under a deterministic policy
//! a = K·s + φ with fixed gains K, whose parameter is the set point φ. docs/theory.md says how the paper was read.
//!
//! The theorems need a transition with a Lipschitz constant L_f below 1. The closed loop A + B·K has one in the norm
//! ‖z‖ of the coordinates z = T·s in which it is a rotation times its spectral radius, per axis; all constants and all
//! errors are taken in these coordinates. ∂a/∂φ = 1 does not depend on the state, as the proof of Theorem 1 assumes.

pub mod matrix;
pub mod theorem1;
pub mod theorem2;

use serde::Serialize;

use self::matrix::{SmallMatrix, apply, norm, plus, product, spectral_norm, sum, transposed};
use crate::rng::Rng;

/// |S|: px, py, and what stands for vx, vy in the coordinates z.
pub const STATES: usize = 4;
/// |A|.
pub const ACTIONS: usize = 2;
/// −∂a/∂p and −∂a/∂v.
const GAINS: [f64; 2] = [0.6, 0.8];
/// γᵗ under this counts as 0: where sums over time end.
const NEGLIGIBLE: f64 = 1e-14;
/// Start states in the expectation over s₀; their ‖z‖ is at most 1.
const STARTS: usize = 8;

type State = [f64; STATES];
type Action = [f64; ACTIONS];

/// A vector of length 1, uniform on the sphere.
fn direction<const N: usize>(rng: &mut Rng) -> [f64; N] {
    let x: [f64; N] = std::array::from_fn(|_| rng.normal());
    let length = norm(&x);
    x.map(|x| x / length)
}

/// The closed loop in the coordinates z, with its reward r = −½·zᵀ·Q·z − ½·aᵀ·P·a.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearTask {
    /// ∂z'/∂z at fixed action.
    a: SmallMatrix<STATES, STATES>,
    /// ∂z'/∂a.
    b: SmallMatrix<STATES, ACTIONS>,
    /// ∂a/∂z.
    k: SmallMatrix<ACTIONS, STATES>,
    q: SmallMatrix<STATES, STATES>,
    p: SmallMatrix<ACTIONS, ACTIONS>,
    starts: Vec<State>,
    /// γ.
    pub discount: f64,
}

/// How far a learned model is from the truth, along fixed directions: a constant offset of its predictions and constant
/// errors of its derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownError {
    /// f̂ − f, whose norm is ε_f.
    offset: State,
    by_state: SmallMatrix<STATES, STATES>,
    by_action: SmallMatrix<STATES, ACTIONS>,
    reward_by_state: State,
    reward_by_action: Action,
}

/// Sizes of a model's errors: ε_f, ε_f^g and ε_r^g of the paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ErrorSizes {
    /// ε_f: ‖f̂ − f‖.
    pub prediction: f64,
    /// ε_f^g: ‖∂f̂/∂s − ∂f/∂s‖ + ‖∂f̂/∂a − ∂f/∂a‖ (eq. 5).
    pub transition_gradient: f64,
    /// ε_r^g: the same of the reward.
    pub reward_gradient: f64,
}

impl KnownError {
    /// No error.
    pub const NONE: Self = Self {
        offset: [0.0; STATES],
        by_state: [[0.0; STATES]; STATES],
        by_action: [[0.0; ACTIONS]; STATES],
        reward_by_state: [0.0; STATES],
        reward_by_action: [0.0; ACTIONS],
    };

    /// Errors of exactly these sizes in random directions; a random share of each gradient error lies in the action's part.
    pub fn draw(sizes: ErrorSizes, rng: &mut Rng) -> Self {
        let outer = |u: State, v: &[f64], size: f64, i: usize, j: usize| size * u[i] * v[j];
        let (share, reward_share) = (rng.uniform(), rng.uniform());
        let (u, v): (State, State) = (direction(rng), direction(rng));
        let (x, y): (State, Action) = (direction(rng), direction(rng));
        let of_state = (1.0 - share) * sizes.transition_gradient;
        let of_action = share * sizes.transition_gradient;
        Self {
            offset: direction(rng).map(|x| sizes.prediction * x),
            by_state: std::array::from_fn(|i| {
                std::array::from_fn(|j| outer(u, &v, of_state, i, j))
            }),
            by_action: std::array::from_fn(|i| {
                std::array::from_fn(|j| outer(x, &y, of_action, i, j))
            }),
            reward_by_state: direction(rng)
                .map(|x| (1.0 - reward_share) * sizes.reward_gradient * x),
            reward_by_action: direction(rng).map(|x| reward_share * sizes.reward_gradient * x),
        }
    }
}

/// The constants of the assumptions, over the states that set points up to a given size can reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// Largest ‖z‖; the region's diameter D is twice this.
    pub radius: f64,
    /// L_f: of the closed loop in the state, and of the transition in the action.
    pub transition: f64,
    /// L_r.
    pub reward: f64,
    /// L_r^g.
    pub reward_gradient: f64,
    /// L_π.
    pub policy: f64,
    /// L_1: largest ‖∂s_t/∂s_u‖. It is 1 (t = u), for models too, as long as L_f + ε_f^g ≤ 1.
    pub stationary: f64,
    /// Largest |r|.
    pub largest_reward: f64,
    /// γ.
    pub discount: f64,
}

impl LinearTask {
    /// The point mass of [`crate::env`], its reward scaled so that the second derivative of J has norm 1.
    pub fn new(discount: f64, seed: u64) -> Self {
        let task = crate::env::task("PointMass").expect("it is built in");
        let columns = STATES + ACTIONS;
        let jacobian = |x: &[f64]| {
            let (s, a) = x.split_at(STATES);
            task.closed_form_jacobian(s, a).expect("it has a closed form")
        };
        let at_rest = jacobian(&[0.0; STATES + ACTIONS]);
        let a0: SmallMatrix<STATES, STATES> =
            std::array::from_fn(|i| std::array::from_fn(|j| at_rest[i * columns + j]));
        let b0: SmallMatrix<STATES, ACTIONS> =
            std::array::from_fn(|i| std::array::from_fn(|j| at_rest[i * columns + STATES + j]));
        // The reward is a sum of squares: its slope at a unit vector is minus that coordinate's curvature.
        let curvature = |i: usize| {
            let mut x = [0.0; STATES + ACTIONS];
            x[i] = 1.0;
            -jacobian(&x)[STATES * columns + i]
        };
        let k0: SmallMatrix<ACTIONS, STATES> = std::array::from_fn(|i| {
            std::array::from_fn(|j| if j % ACTIONS == i { -GAINS[j / ACTIONS] } else { 0.0 })
        });
        let closed = sum(&a0, &product(&b0, &k0));
        let (_, to_old) = coordinates(&closed);
        let to_new = coordinates(&closed).0;
        let q0: SmallMatrix<STATES, STATES> = std::array::from_fn(|i| {
            std::array::from_fn(|j| if i == j { curvature(i) } else { 0.0 })
        });
        let p: SmallMatrix<ACTIONS, ACTIONS> = std::array::from_fn(|i| {
            std::array::from_fn(|j| if i == j { curvature(STATES + i) } else { 0.0 })
        });
        let mut rng = Rng::new(seed, "theory starts");
        let starts = (0..STARTS)
            .map(|_| {
                let length = rng.uniform();
                direction(&mut rng).map(|x| length * x)
            })
            .collect();
        let task = Self {
            a: product(&product(&to_new, &a0), &to_old),
            b: product(&to_new, &b0),
            k: product(&k0, &to_old),
            q: product(&product(&transposed(&to_old), &q0), &to_old),
            p,
            starts,
            discount,
        };
        let curvature = spectral_norm(&task.affine_gradient(&KnownError::NONE).1);
        task.scaled(1.0 / curvature)
    }

    /// The same task with its reward multiplied.
    pub fn scaled(mut self, factor: f64) -> Self {
        self.q = self.q.map(|row| row.map(|x| factor * x));
        self.p = self.p.map(|row| row.map(|x| factor * x));
        self
    }

    /// Steps after which γᵗ no longer counts.
    fn horizon(&self) -> usize {
        (NEGLIGIBLE.ln() / self.discount.ln()).ceil().max(1.0) as usize
    }

    fn action(&self, z: &State, setpoint: &Action) -> Action {
        plus(apply(&self.k, z), *setpoint)
    }

    fn path(&self, start: State, setpoint: &Action, offset: &State) -> Vec<State> {
        let mut path = vec![start];
        for t in 0..self.horizon() {
            let action = self.action(&path[t], setpoint);
            path.push(plus(plus(apply(&self.a, &path[t]), apply(&self.b, &action)), *offset));
        }
        path
    }

    /// J(φ): the mean over start states of Σ γᵗ·r_t.
    pub fn objective(&self, setpoint: &Action) -> f64 {
        let reward = |z: &State| {
            let action = self.action(z, setpoint);
            let square = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
            -0.5 * (square(z, &apply(&self.q, z)) + square(&action, &apply(&self.p, &action)))
        };
        let of_start = |&start: &State| -> f64 {
            let path = self.path(start, setpoint, &[0.0; STATES]);
            (0..self.horizon()).map(|t| self.discount.powi(t as i32) * reward(&path[t])).sum()
        };
        self.starts.iter().map(of_start).sum::<f64>() / self.starts.len() as f64
    }

    /// dJ/dφ as eq. 3 computes it with a learned model: along the model's own path, with the model's derivatives.
    pub fn gradient(&self, setpoint: &Action, error: &KnownError) -> Action {
        let a = sum(&self.a, &error.by_state);
        let b = sum(&self.b, &error.by_action);
        let closed_t = transposed(&sum(&a, &product(&b, &self.k)));
        let (b_t, k_t) = (transposed(&b), transposed(&self.k));
        let mut gradient = [0.0; ACTIONS];
        for &start in &self.starts {
            let path = self.path(start, setpoint, &error.offset);
            // dR/ds_{t+1}.
            let mut adjoint = [0.0; STATES];
            for t in (0..self.horizon()).rev() {
                let z = &path[t];
                let action = self.action(z, setpoint);
                let by_action = plus(apply(&self.p, &action).map(|x| -x), error.reward_by_action);
                let by_state = plus(apply(&self.q, z).map(|x| -x), error.reward_by_state);
                let later = adjoint.map(|x| self.discount * x);
                let weight = self.discount.powi(t as i32) / self.starts.len() as f64;
                let total = plus(by_action, apply(&b_t, &later));
                gradient = plus(gradient, total.map(|x| weight * x));
                adjoint = plus(plus(by_state, apply(&k_t, &by_action)), apply(&closed_t, &later));
            }
        }
        gradient
    }

    /// (g₀, G) with [`LinearTask::gradient`] = g₀ + G·φ: J is quadratic.
    pub fn affine_gradient(&self, error: &KnownError) -> (Action, SmallMatrix<ACTIONS, ACTIONS>) {
        let origin = self.gradient(&[0.0; ACTIONS], error);
        let columns: SmallMatrix<ACTIONS, ACTIONS> = std::array::from_fn(|i| {
            let unit = std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 });
            plus(self.gradient(&unit, error), origin.map(|x| -x))
        });
        (origin, transposed(&columns))
    }

    /// The constants where ‖φ‖ ≤ `setpoint` and predictions are off by at most `prediction`.
    pub fn constants(&self, setpoint: f64, prediction: f64) -> Constants {
        let (k_t, gain) = (transposed(&self.k), spectral_norm(&self.k));
        // Then ε_f^g also bounds the closed loop's error, ‖ΔA + ΔB·K‖.
        assert!(gain <= 1.0, "the policy's Lipschitz constant is {gain}");
        let contraction = spectral_norm(&sum(&self.a, &product(&self.b, &self.k)));
        let by_action = spectral_norm(&self.b);
        let radius = ((by_action * setpoint + prediction) / (1.0 - contraction)).max(1.0);
        let pk = product(&self.p, &self.k);
        let total = sum(&self.q, &product(&k_t, &pk));
        let largest_action = gain * radius + setpoint;
        let slope = spectral_norm(&total) * radius + spectral_norm(&transposed(&pk)) * setpoint;
        Constants {
            radius,
            transition: contraction.max(by_action),
            reward: slope.max(spectral_norm(&self.p) * largest_action),
            reward_gradient: spectral_norm(&total).max(spectral_norm(&pk)),
            policy: 1.0,
            stationary: 1.0,
            largest_reward: 0.5 * spectral_norm(&self.q) * radius.powi(2)
                + 0.5 * spectral_norm(&self.p) * largest_action.powi(2),
            discount: self.discount,
        }
    }
}

/// (T, T⁻¹) for a closed loop of two equal axes with complex eigenvalues μ ± iν: with z₁ = p and
/// z₂ = ((a − μ)·p + b·v)/ν, one axis becomes [[μ, ν], [−ν, μ]].
fn coordinates(
    closed: &SmallMatrix<STATES, STATES>,
) -> (SmallMatrix<STATES, STATES>, SmallMatrix<STATES, STATES>) {
    let [[a, b], [c, d]] = [0, 2].map(|i| [closed[i][0], closed[i][2]]);
    let mu = 0.5 * (a + d);
    let nu = (a * d - b * c - mu * mu).sqrt();
    let of_axes = |m: [[f64; 2]; 2]| -> SmallMatrix<STATES, STATES> {
        std::array::from_fn(|i| {
            std::array::from_fn(|j| if i % 2 == j % 2 { m[i / 2][j / 2] } else { 0.0 })
        })
    };
    (of_axes([[1.0, 0.0], [(a - mu) / nu, b / nu]]), of_axes([[1.0, 0.0], [(mu - a) / b, nu / b]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_loop_contracts_in_its_coordinates() {
        let task = LinearTask::new(0.9, 0);
        let constants = task.constants(1.0, 0.0);
        // The spectral radius of the closed loop: √det, the eigenvalues being complex.
        let determinant: f64 = 0.997 * 0.91 + 0.06 * 0.096;
        assert!((constants.transition - determinant.sqrt()).abs() < 1e-12, "{constants:?}");
        let hessian = task.affine_gradient(&KnownError::NONE).1;
        assert!((spectral_norm(&hessian) - 1.0).abs() < 1e-9, "{hessian:?}");
    }

    #[test]
    fn the_gradient_is_the_objectives_derivative() {
        let task = LinearTask::new(0.9, 1);
        let setpoint = [0.4, -0.7];
        let gradient = task.gradient(&setpoint, &KnownError::NONE);
        for (i, &slope) in gradient.iter().enumerate() {
            let at = |h: f64| {
                let mut moved = setpoint;
                moved[i] += h;
                task.objective(&moved)
            };
            let difference = (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!((difference - slope).abs() < 1e-8, "{difference} for {slope}");
        }
    }

    #[test]
    fn errors_have_their_sizes() {
        let sizes = ErrorSizes { prediction: 0.3, transition_gradient: 0.02, reward_gradient: 0.5 };
        let error = KnownError::draw(sizes, &mut Rng::new(0, "theory test"));
        let of_transition = spectral_norm(&error.by_state) + spectral_norm(&error.by_action);
        let of_reward = norm(&error.reward_by_state) + norm(&error.reward_by_action);
        assert!((norm(&error.offset) - 0.3).abs() < 1e-12);
        assert!((of_transition - 0.02).abs() < 1e-12, "{of_transition}");
        assert!((of_reward - 0.5).abs() < 1e-12, "{of_reward}");
    }
}
