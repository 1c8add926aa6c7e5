//! What runs take of the memories that they are in, in words.

use std::fmt::Write;
use std::sync::Arc;

use ddppo::config::Config;
use ddppo::device::DeviceLearner;
use ddppo::device::pjrt::DeviceError;
use ddppo::env::Task;
use ddppo::methods;
use ddppo::run::text::thousands;
use ddppo::session::group::batches;
use ddppo::session::memory::{in_words, needed};

/// Of a run on the processor, a line.
pub fn alone(config: &Config, task: &dyn Task) -> String {
    let memory = in_words(needed(config, task));
    let (steps, of) = (thousands(config.steps()), config.algorithm());
    format!("one run of {} by {of}, {steps} steps: about {memory} of memory\n", config.task())
}

/// Of a group's runs, a line for each batch. No device is needed: the shapes of its arrays say it.
pub fn of_group(configs: &[Config], task: &Arc<dyn Task>) -> Result<String, DeviceError> {
    let mut text = String::new();
    for batch in batches(configs) {
        let first = &configs[batch[0]];
        let mut methods: Vec<&str> = batch.iter().map(|&i| configs[i].algorithm()).collect();
        methods.dedup();
        let runs = match batch.len() {
            1 => "one run".to_owned(),
            n => format!("{n} runs"),
        };
        let host: u64 = batch.iter().map(|&i| needed(&configs[i], &**task)).sum();
        // The run that takes the most decides for the batch.
        let mut device = 0;
        let steps = batch.iter().map(|&i| configs[i].steps()).max().unwrap_or(0);
        let mut seen: Vec<&Config> = Vec::new();
        for &i in &batch {
            let loss = |config: &Config| config.get("gradient_loss").cloned();
            if seen.iter().any(|other| loss(other) == loss(&configs[i])) {
                continue;
            }
            seen.push(&configs[i]);
            let mut method = methods::build(&configs[i], Arc::clone(task));
            let capacity = configs[i].get("training.replay_capacity").and_then(|n| n.as_integer());
            let transitions = steps.min(capacity.map_or(u64::MAX, |n| n as u64)) as usize;
            let memory = DeviceLearner::memory(first, &mut *method, batch.len(), transitions)?;
            device = device.max(memory);
        }
        let _ = writeln!(
            text,
            "{runs} of {} by {}, {} steps: about {} on the device, about {} on the host",
            first.task(),
            methods.join(", "),
            thousands(steps),
            in_words(device),
            in_words(host)
        );
    }
    Ok(text)
}
