//! True Jacobians, against closed forms, against finite displacements and against MuJoCo's own derivative.

use ddppo::env::jacobian::{Jacobian, jacobians, project};
use ddppo::env::trajectory::{VisitedState, sample_points};
use ddppo::env::{MujocoTask, Task, files, names, task, uniform_actions};
use ddppo::rng::Rng;
use mujoco_rs::mujoco_c::{mjd_transitionFD, mjtState};
use mujoco_rs::wrappers::MjData;

fn at_random_points(
    task: &dyn Task,
    count: usize,
    seed: u64,
) -> (Vec<VisitedState>, Vec<Jacobian>) {
    let points = sample_points(task, count, 3, seed, &mut uniform_actions(task)).unwrap();
    let found = jacobians(task, &points).unwrap();
    (points, found)
}

#[test]
fn differences_equal_the_closed_forms() {
    for name in ["PointMass", "Pendulum"] {
        let task = task(name).unwrap();
        let (points, found) = at_random_points(&*task, 50, 0);
        assert!(found.iter().filter(|jacobian| !jacobian.has_event()).count() >= 45, "{name}");
        for (point, jacobian) in
            points.iter().zip(&found).filter(|(_, jacobian)| !jacobian.has_event())
        {
            let exact = task.closed_form_jacobian(&point.observation, &point.action).unwrap();
            assert_eq!(exact.len(), jacobian.values.len());
            for (entry, (a, b)) in jacobian.values.iter().zip(&exact).enumerate() {
                assert!((a - b).abs() <= 1e-6, "{name}, entry {entry}: {a} for {b} at {point:?}");
            }
        }
    }
}

#[test]
fn an_action_at_its_bound_is_differentiated_inwards() {
    let task = task("PointMass").unwrap();
    let mut points = sample_points(&*task, 1, 1, 0, &mut uniform_actions(&*task)).unwrap();
    points[0].action = vec![1.0, -1.0];
    let exact = task.closed_form_jacobian(&points[0].observation, &points[0].action).unwrap();
    for (a, b) in jacobians(&*task, &points).unwrap()[0].values.iter().zip(&exact) {
        assert!((a - b).abs() <= 1e-6, "{a} for {b}");
    }
}

/// Most points are free of contact events, and there the Jacobian tells what a small displacement does.
#[test]
fn a_displacement_moves_the_step_by_the_jacobian() {
    for name in names() {
        let task = task(name).unwrap();
        let (states, columns) =
            (task.observation_dim(), task.observation_dim() + task.action_dim());
        let (points, found) = at_random_points(&*task, 12, 1);
        let regular: Vec<_> =
            points.iter().zip(&found).filter(|(_, jacobian)| !jacobian.has_event()).collect();
        assert!(regular.len() >= 9, "{name}: {} of 12 points have no event", regular.len());
        let mut rng = Rng::new(2, name);
        let mut world = task.make().unwrap();
        let mut close = 0;
        for (point, jacobian) in &regular {
            let mut step = |sign: f64, direction: &[f64]| {
                let size = sign * 1e-6;
                world.set_state(&point.state).unwrap();
                let displacement: Vec<f64> = direction[..states].iter().map(|x| size * x).collect();
                world.displace(&displacement).unwrap();
                let action: Vec<f64> = point
                    .action
                    .iter()
                    .zip(&direction[states..])
                    .map(|(a, x)| a + size * x)
                    .collect();
                let mut reached = vec![0.0; states];
                let reward = world.step(&action, &mut reached).unwrap().reward;
                reached.push(reward);
                reached
            };
            let direction: Vec<f64> = (0..columns).map(|_| rng.uniform_in(-1.0, 1.0)).collect();
            let (ahead, behind) = (step(1.0, &direction), step(-1.0, &direction));
            let scale = jacobian.values.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
            let worst = (0..=states).fold(0.0_f64, |worst, row| {
                let expected: f64 = (0..columns)
                    .map(|column| jacobian.values[row * columns + column] * direction[column])
                    .sum();
                worst.max((expected - (ahead[row] - behind[row]) / 2e-6).abs())
            });
            close += usize::from(worst <= 1e-5 * scale);
        }
        // A direction over all coordinates may meet an event that no single coordinate met.
        assert!(
            close + 1 >= regular.len(),
            "{name}: {close} of {} directions agree",
            regular.len()
        );
    }
}

/// HalfCheetah is integrated by Euler's method, for which MuJoCo has a derivative of its own: the product of its five
/// substeps' transition matrices is ours. (For RK4 models it would end the process.)
#[test]
fn half_cheetah_equals_mujocos_own_derivative() {
    let (mjcf, description) = files("HalfCheetah").unwrap();
    let task = MujocoTask::from_texts(("xml", mjcf), ("toml", description)).unwrap();
    let (points, found) = at_random_points(&task, 8, 4);
    let (nv, nu, states) = (9, 6, 17);
    let n = 2 * nv;
    let mut compared = 0;
    for (point, jacobian) in points.iter().zip(&found).filter(|(_, jacobian)| !jacobian.has_event())
    {
        let mut data = MjData::new(task.model());
        data.set_state(&point.state, mjtState::mjSTATE_INTEGRATION as u32).unwrap();
        data.ctrl_mut().copy_from_slice(&point.action);
        // d(position, velocity) / d(position, velocity, control), row after row, starting at the identity.
        let columns = n + nu;
        let mut total = vec![0.0; n * columns];
        (0..n).for_each(|i| total[i * columns + i] = 1.0);
        for _ in 0..5 {
            let (mut by_state, mut by_control) = (vec![0.0; n * n], vec![0.0; n * nu]);
            // SAFETY: the model and data belong together; the matrices have the sizes that the function documents, and
            // those of sensors are left out.
            unsafe {
                mjd_transitionFD(
                    task.model().ffi(),
                    data.ffi_mut(),
                    1e-6,
                    true,
                    by_state.as_mut_ptr(),
                    by_control.as_mut_ptr(),
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                );
            }
            let mut next = vec![0.0; n * columns];
            for row in 0..n {
                for column in 0..columns {
                    next[row * columns + column] = (0..n)
                        .map(|k| by_state[row * n + k] * total[k * columns + column])
                        .sum::<f64>();
                    if column >= n {
                        next[row * columns + column] += by_control[row * nu + column - n];
                    }
                }
            }
            total = next;
            data.step();
        }
        // The observation leaves out the first position, in rows and in columns.
        let ours = states + nu;
        let scale = total.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
        for row in 0..states {
            for column in 0..ours {
                let (a, b) =
                    (jacobian.values[row * ours + column], total[(row + 1) * columns + column + 1]);
                assert!((a - b).abs() <= 1e-4 * scale, "row {row}, column {column}: {a} for {b}");
            }
        }
        compared += 1;
    }
    assert!(compared >= 4, "{compared} points without events");
}

#[test]
fn quaternions_move_in_three_directions() {
    for (name, start) in [("AntTruncatedObs", 1), ("HumanoidTruncatedObs", 1)] {
        let task = task(name).unwrap();
        assert_eq!(task.quaternions(), [start], "{name}");
        let (points, found) = at_random_points(&*task, 4, 5);
        let columns = task.observation_dim() + task.action_dim();
        for (point, jacobian) in points.iter().zip(&found) {
            let q = &point.observation[start..start + 4];
            for row in jacobian.values.chunks(columns) {
                let along: f64 = row[start..start + 4].iter().zip(q).map(|(x, q)| x * q).sum();
                let size = row.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
                assert!(along.abs() <= 1e-9 * size, "{name}: {along} along the quaternion");
            }
            // Projecting a Jacobian that is projected already changes nothing; projecting another does.
            let mut again = jacobian.values.clone();
            project(&*task, &point.observation, &mut again);
            let gap =
                again.iter().zip(&jacobian.values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(
                gap <= 1e-9 * jacobian.values.iter().fold(1.0, |most: f64, x| most.max(x.abs())),
                "{name}: {gap}"
            );
            let mut ones = vec![1.0; jacobian.values.len()];
            project(&*task, &point.observation, &mut ones);
            assert!(ones.iter().any(|x| (x - 1.0).abs() > 1e-3), "{name}");
        }
    }
}
