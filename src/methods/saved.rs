//! How everything that is learned is saved and restored. Saving takes each structure apart without "..", so that a
//! field added later does not compile until it is saved too.

use super::learner::{Learner, Streams};
use super::world;
use super::world::World;
use crate::critic::TwinCritic;
use crate::critic::update::QNetwork;
use crate::data::{Columns, Replay};
use crate::model::dynamics::Member;
use crate::model::likelihood::LogVarianceBounds;
use crate::model::{DynamicsModel, Standardiser};
use crate::nn::{Adam, Mlp, Shape};
use crate::policy::{Policy, Temperature};
use crate::rng::Rng;
use crate::run::snapshot::{Snapshot, SnapshotError};

/// Saves a generator's four words.
pub fn put_rng(snapshot: &mut Snapshot, key: &str, rng: &Rng) {
    snapshot.put(key, &[4], rng.state().to_vec());
}

/// Continues a generator.
///
/// # Errors
/// When the words are missing, or all zero.
pub fn take_rng(snapshot: &mut Snapshot, key: &str) -> Result<Rng, SnapshotError> {
    let words = snapshot.take_array::<u64, 4>(key)?;
    Rng::from_state(words)
        .ok_or_else(|| SnapshotError::invalid(key, "four words that are not all zero"))
}

fn put_vector(snapshot: &mut Snapshot, name: &str, suffix: &str, shape: &Shape, vector: &[f32]) {
    for (l, layer) in shape.layers.iter().enumerate() {
        let (weight, bias) = shape.export(l, vector);
        snapshot.put(&format!("{name}/{l}/weight{suffix}"), &[layer.inputs, layer.outputs], weight);
        snapshot.put(&format!("{name}/{l}/bias{suffix}"), &[layer.outputs], bias);
    }
}

fn take_vector(
    snapshot: &mut Snapshot,
    name: &str,
    suffix: &str,
    shape: &Shape,
    vector: &mut [f32],
) -> Result<(), SnapshotError> {
    for (l, layer) in shape.layers.iter().enumerate() {
        let weight = snapshot
            .take_f32(&format!("{name}/{l}/weight{suffix}"), &[layer.inputs, layer.outputs])?;
        let bias = snapshot.take_f32(&format!("{name}/{l}/bias{suffix}"), &[layer.outputs])?;
        shape.import(l, &weight, &bias, vector);
    }
    Ok(())
}

fn put_network(snapshot: &mut Snapshot, name: &str, network: &Mlp<f32>) {
    put_vector(snapshot, name, "", network.shape(), network.parameters());
}

fn take_network(
    snapshot: &mut Snapshot,
    name: &str,
    network: &mut Mlp<f32>,
) -> Result<(), SnapshotError> {
    let mut result = Ok(());
    network.update(|parameters, shape| result = take_vector(snapshot, name, "", shape, parameters));
    result
}

fn put_adam(snapshot: &mut Snapshot, name: &str, shape: &Shape, adam: &Adam<f32>) {
    put_vector(snapshot, name, ".first_moment", shape, &adam.first);
    put_vector(snapshot, name, ".second_moment", shape, &adam.second);
    snapshot.put_value(&format!("{name}/updates"), adam.updates);
}

fn take_adam(
    snapshot: &mut Snapshot,
    name: &str,
    shape: &Shape,
    adam: &mut Adam<f32>,
) -> Result<(), SnapshotError> {
    take_vector(snapshot, name, ".first_moment", shape, &mut adam.first)?;
    take_vector(snapshot, name, ".second_moment", shape, &mut adam.second)?;
    adam.updates = snapshot.take_value(&format!("{name}/updates"))?;
    Ok(())
}

fn put_model(snapshot: &mut Snapshot, name: &str, model: &DynamicsModel<f32>) {
    for (m, member) in model.members.iter().enumerate() {
        let Member { network, adam } = member;
        let name = format!("{name}/{m}");
        put_network(snapshot, &name, network);
        put_adam(snapshot, &name, network.shape(), adam);
    }
    if let Some(adam) = &model.bounds_adam {
        let numbers = model.bounds.numbers().to_vec();
        snapshot.put(&format!("{name}/bounds"), &[numbers.len()], numbers);
        let moments = [("first", &adam.first), ("second", &adam.second)];
        for (which, moment) in moments {
            let key = format!("{name}/bounds.{which}_moment");
            snapshot.put(&key, &[moment.len()], moment.clone());
        }
        snapshot.put_value(&format!("{name}/bounds/updates"), adam.updates);
    }
    let Standardiser { mean, deviation } = &model.standardiser;
    snapshot.put(&format!("{name}/input_mean"), &[mean.len()], mean.clone());
    snapshot.put(&format!("{name}/input_std"), &[deviation.len()], deviation.clone());
    snapshot.put(&format!("{name}/elites"), &[model.elites.len()], model.elites.clone());
}

fn take_model(
    snapshot: &mut Snapshot,
    name: &str,
    model: &mut DynamicsModel<f32>,
) -> Result<(), SnapshotError> {
    for (m, member) in model.members.iter_mut().enumerate() {
        let Member { network, adam } = member;
        let name = format!("{name}/{m}");
        take_network(snapshot, &name, network)?;
        take_adam(snapshot, &name, network.shape(), adam)?;
    }
    if let Some(adam) = &mut model.bounds_adam {
        let size = [adam.first.len()];
        let numbers = snapshot.take_f64(&format!("{name}/bounds"), &size)?;
        model.bounds = LogVarianceBounds::from_numbers(numbers);
        adam.first = snapshot.take_f64(&format!("{name}/bounds.first_moment"), &size)?;
        adam.second = snapshot.take_f64(&format!("{name}/bounds.second_moment"), &size)?;
        adam.updates = snapshot.take_value(&format!("{name}/bounds/updates"))?;
    }
    let dim = model.standardiser.mean.len();
    model.standardiser.mean = snapshot.take_f32(&format!("{name}/input_mean"), &[dim])?;
    model.standardiser.deviation = snapshot.take_f32(&format!("{name}/input_std"), &[dim])?;
    let key = format!("{name}/elites");
    model.elites = snapshot.take_any::<u32>(&key, &[])?;
    if model.elites.iter().any(|&e| e as usize >= model.members.len()) {
        return Err(SnapshotError::invalid(&key, "indices of members"));
    }
    Ok(())
}

/// The columns of a buffer, by name, each with its width.
fn put_replay(snapshot: &mut Snapshot, name: &str, replay: &Replay, (s, a): (usize, usize)) {
    let Columns { observations, actions, rewards, next_observations, terminated, pushed } =
        replay.columns();
    // Tables name files, so their keys have no slash. A buffer that has not wrapped only grows, so its rows go to segments that are written once.
    let grows = pushed <= replay.capacity() as u64 && name == "real";
    let rows = rewards.len();
    let mut put = |column: &str, width: usize, values: Vec<f32>| {
        let key = format!("{name}-{column}");
        if grows {
            snapshot.put_rows(&key, width, values)
        } else {
            snapshot.put(&key, &[rows, width], values)
        }
    };
    put("observations", s, observations);
    put("actions", a, actions);
    put("rewards", 1, rewards);
    put("next_observations", s, next_observations);
    let key = format!("{name}-terminated");
    if grows {
        snapshot.put_rows(&key, 1, terminated)
    } else {
        snapshot.put(&key, &[rows, 1], terminated)
    }
    snapshot.put_value(&format!("{name}/pushed"), pushed);
    snapshot.put_value(&format!("{name}/capacity"), replay.capacity() as u64);
}

fn take_replay(
    snapshot: &mut Snapshot,
    name: &str,
    (s, a): (usize, usize),
) -> Result<Replay, SnapshotError> {
    let pushed: u64 = snapshot.take_value(&format!("{name}/pushed"))?;
    let capacity: u64 = snapshot.take_value(&format!("{name}/capacity"))?;
    let grows = pushed <= capacity && name == "real";
    let mut take = |column: &str, width: usize| {
        let key = format!("{name}-{column}");
        if grows {
            snapshot.take_rows::<f32>(&key, width)
        } else {
            snapshot.take_any::<f32>(&key, &[width])
        }
    };
    let observations = take("observations", s)?;
    let actions = take("actions", a)?;
    let rewards = take("rewards", 1)?;
    let next_observations = take("next_observations", s)?;
    let key = format!("{name}-terminated");
    let terminated = if grows {
        snapshot.take_rows::<u8>(&key, 1)?
    } else {
        snapshot.take_any::<u8>(&key, &[1])?
    };
    let columns = Columns { observations, actions, rewards, next_observations, terminated, pushed };
    let invalid = || SnapshotError::invalid(name, "columns of equal length that fit its capacity");
    let capacity = usize::try_from(capacity).ok().filter(|&c| c > 0).ok_or_else(invalid)?;
    Replay::from_columns(s, a, capacity, columns).ok_or_else(invalid)
}

impl World {
    fn save(&self, snapshot: &mut Snapshot, sizes: (usize, usize)) {
        let Self {
            prediction_model,
            gradient_model,
            imagined,
            streams,
            neighbours: _,
            rollouts: _,
            fits: _,
        } = self;
        put_model(snapshot, "prediction_model", prediction_model);
        if let Some(model) = gradient_model {
            put_model(snapshot, "gradient_model", model);
        }
        put_replay(snapshot, "imagined", imagined, sizes);
        let world::Streams { prediction_model, gradient_model, rollout } = streams;
        put_rng(snapshot, "streams/prediction_model", prediction_model);
        put_rng(snapshot, "streams/gradient_model", gradient_model);
        put_rng(snapshot, "streams/rollout", rollout);
    }

    fn restore(
        &mut self,
        snapshot: &mut Snapshot,
        sizes: (usize, usize),
    ) -> Result<(), SnapshotError> {
        take_model(snapshot, "prediction_model", &mut self.prediction_model)?;
        if let Some(model) = &mut self.gradient_model {
            take_model(snapshot, "gradient_model", model)?;
        }
        self.imagined = take_replay(snapshot, "imagined", sizes)?;
        self.streams = world::Streams {
            prediction_model: take_rng(snapshot, "streams/prediction_model")?,
            gradient_model: take_rng(snapshot, "streams/gradient_model")?,
            rollout: take_rng(snapshot, "streams/rollout")?,
        };
        Ok(())
    }
}

impl Learner {
    /// Saves everything that changes. What is derived (neighbour lists, buffers of the updates) is made again.
    pub fn save(&self, snapshot: &mut Snapshot) {
        let Self {
            policy,
            critic,
            temperature,
            world,
            real,
            streams,
            config: _,
            task: _,
            policy_workspace: _,
            critic_workspace: _,
        } = self;
        let Policy { network, adam, scale, bias: _, log_prob_offset: _ } = policy;
        let sizes = (network.shape().inputs(), scale.len());
        put_network(snapshot, "policy", network);
        put_adam(snapshot, "policy", network.shape(), adam);
        let TwinCritic { twins, .. } = critic;
        for (q, twin) in twins.iter().enumerate() {
            let QNetwork { network, target, adam } = twin;
            put_network(snapshot, &format!("critic{}", q + 1), network);
            put_network(snapshot, &format!("target_critic{}", q + 1), target);
            put_adam(snapshot, &format!("critic{}", q + 1), network.shape(), adam);
        }
        let Temperature { log_alpha, adam, target_entropy: _, automatic: _ } = temperature;
        let numbers = vec![*log_alpha, adam.first[0], adam.second[0]];
        snapshot.put("temperature", &[3], numbers);
        snapshot.put_value("temperature/updates", adam.updates);
        if let Some(world) = world {
            world.save(snapshot, sizes);
        }
        put_replay(snapshot, "real", real, sizes);
        let Streams { policy, critic } = streams;
        put_rng(snapshot, "streams/policy", policy);
        put_rng(snapshot, "streams/critic", critic);
    }

    /// Takes back what [`Learner::save`] saved, into a learner of the same configuration and task.
    ///
    /// # Errors
    /// Names the first entry that is missing or of another size.
    pub fn restore(&mut self, snapshot: &mut Snapshot) -> Result<(), SnapshotError> {
        take_network(snapshot, "policy", &mut self.policy.network)?;
        take_adam(snapshot, "policy", self.policy.network.shape(), &mut self.policy.adam)?;
        for (q, twin) in self.critic.twins.iter_mut().enumerate() {
            let QNetwork { network, target, adam } = twin;
            take_network(snapshot, &format!("critic{}", q + 1), network)?;
            take_network(snapshot, &format!("target_critic{}", q + 1), target)?;
            take_adam(snapshot, &format!("critic{}", q + 1), network.shape(), adam)?;
        }
        let [log_alpha, first, second] = snapshot.take_array::<f64, 3>("temperature")?;
        self.temperature.log_alpha = log_alpha;
        (self.temperature.adam.first[0], self.temperature.adam.second[0]) = (first, second);
        self.temperature.adam.updates = snapshot.take_value("temperature/updates")?;
        let sizes = (self.policy.observation_dim(), self.policy.action_dim());
        if let Some(world) = &mut self.world {
            world.restore(snapshot, sizes)?;
        }
        self.real = take_replay(snapshot, "real", sizes)?;
        self.streams = Streams {
            policy: take_rng(snapshot, "streams/policy")?,
            critic: take_rng(snapshot, "streams/critic")?,
        };
        Ok(())
    }
}
