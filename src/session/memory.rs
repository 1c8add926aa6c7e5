//! How much memory a run will need, roughly, and how much there is: told before hours are spent, not after.

use std::fs;

use toml::Value;

use crate::config::Config;
use crate::env::Task;

use super::SessionError;

/// Bytes of a number.
const FLOAT: u64 = 4;
/// Copies of each parameter: the weights, two moments, a gradient, and what a save copies.
const COPIES: u64 = 5;

/// Refuses a run that needs more memory than it may have, or more than twice what the machine has left (an estimate of what may be freed
/// or swapped); a sentence where it needs more than is left.
///
/// # Errors
/// When it is refused.
pub fn check(config: &Config, task: &dyn Task) -> Result<Option<String>, SessionError> {
    check_group(std::slice::from_ref(config), task)
}

/// [`check`] of runs that are trained together.
///
/// # Errors
/// As [`check`].
pub fn check_group(configs: &[Config], task: &dyn Task) -> Result<Option<String>, SessionError> {
    let (machine, allowed) = (machine_memory(), allowed_memory());
    let Some(available) = [machine, allowed].into_iter().flatten().min() else { return Ok(None) };
    let bytes = configs.iter().map(|config| needed(config, task)).sum::<u64>();
    let largest = configs.iter().max_by_key(|config| needed(config, task));
    let mut advice = largest.map_or(String::new(), |config| advice(&estimate(config, task)));
    let (who, need) = if configs.len() == 1 { ("the run", "needs") } else { ("the runs", "need") };
    if configs.len() > 1 {
        advice += " in one";
    }
    let beyond = allowed.is_some_and(|allowed| bytes > allowed);
    if beyond || bytes > available.saturating_mul(2) {
        let (needed, available) = (in_words(bytes), in_words(available));
        let who = format!("{who} {need}");
        return Err(SessionError::Memory { who, needed, available, advice });
    }
    Ok((bytes > available).then(|| {
        format!(
            "{who} may need about {} of memory, and there are {}: {advice}",
            in_words(bytes),
            in_words(available)
        )
    }))
}

/// Bytes that a run needs, about.
pub fn needed(config: &Config, task: &dyn Task) -> u64 {
    estimate(config, task).iter().map(|(_, bytes)| bytes).sum()
}

/// Bytes by what takes them, and the setting that decides it.
fn estimate(config: &Config, task: &dyn Task) -> [(&'static str, u64); 6] {
    let [s, a] = [task.observation_dim(), task.action_dim()].map(|dim| dim as u64);
    let row = (2 * s + a + 2) * FLOAT;
    // What a method has without a setting for it.
    let or = |key: &str, fixed: u64| match config.get(key).and_then(Value::as_integer) {
        Some(value) => value as u64,
        None => fixed,
    };
    let set = |key: &str| or(key, 0);
    let batch = set("training.batch_size");
    // Layers of `hidden` units, and a minibatch's activations of them.
    let network = |inputs: u64, hidden: u64, layers: u64, outputs: u64, copies: u64| {
        let inner = hidden.saturating_mul(hidden).saturating_mul(layers.saturating_sub(1));
        let parameters = inner.saturating_add(hidden.saturating_mul(inputs + outputs + layers));
        let activations = hidden.saturating_mul(layers * 4 * batch);
        parameters.saturating_mul(copies).saturating_add(activations).saturating_mul(FLOAT)
    };
    // Two models where there may be two.
    let alone = match config.get("policy.gradient_source").and_then(Value::as_str) {
        Some(source) => source != "gradient",
        None => config.get("model.single_model").and_then(Value::as_bool).unwrap_or(true),
    };
    let members = set("model.members").saturating_mul(if alone { 1 } else { 2 });
    let models = network(s + a, set("model.hidden"), set("model.layers"), 2 * (s + 1), COPIES);
    let steps = config.steps().min(set("training.replay_capacity"));
    // Refilled at each training of the models with what the rollouts reach.
    let imagined = set("rollout.capacity_per_step").saturating_mul(set("rollout.max_length"));
    // Each with a target.
    let critic = network(s + a, set("critic.hidden"), or("critic.layers", 2), 1, COPIES + 1);
    [
        ("policy.hidden", network(s, set("policy.hidden"), or("policy.layers", 2), 2 * a, COPIES)),
        ("critic.hidden", critic.saturating_mul(or("critic.members", 2))),
        ("model.hidden", models.saturating_mul(members)),
        ("training.replay_capacity", steps.saturating_mul(row)),
        ("rollout.capacity_per_step", imagined.saturating_mul(row)),
        ("rollout.capacity", set("rollout.capacity").saturating_mul(s * FLOAT)),
    ]
}

fn advice(needed: &[(&'static str, u64)]) -> String {
    let (setting, bytes) =
        needed.iter().max_by_key(|(_, bytes)| bytes).expect("there are settings");
    format!("`{setting}` takes the most, {}", in_words(*bytes))
}

/// "1.2 GB", or "35 MB" where that is less than a tenth.
pub fn in_words(bytes: u64) -> String {
    let gigabytes = bytes as f64 / 1e9;
    if gigabytes < 0.1 {
        return format!("{:.0} MB", 1e3 * gigabytes);
    }
    if gigabytes >= 10.0 { format!("{gigabytes:.0} GB") } else { format!("{gigabytes:.1} GB") }
}

/// Bytes that the machine has left; `None` where that is not known.
fn machine_memory() -> Option<u64> {
    fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine(&text))
}

/// Bytes that this process may still have by its control group and its own limit, beyond which it is ended; `None` where there is
/// no limit.
fn allowed_memory() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok().and_then(|text| limit(&text));
    let used = fs::read_to_string("/proc/self/status").ok().and_then(|text| address_space(&text));
    let limits = limits.map(|limit| limit.saturating_sub(used.unwrap_or(0)));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group(&text));
    [limits, group].into_iter().flatten().min()
}

fn machine(meminfo: &str) -> Option<u64> {
    kilobytes(meminfo, "MemAvailable:")
}

/// The bytes of a line such as `MemAvailable:  2000 kB`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// The soft limit of the address space (`ulimit -v`).
fn limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes of the address space that are taken: libraries and threads reserve more than they use.
fn address_space(status: &str) -> Option<u64> {
    kilobytes(status, "VmSize:")
}

/// What the control group may still take, in either layout of the kernel's.
fn group(membership: &str) -> Option<u64> {
    let left = |limit: &str, used: &str| {
        let read = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        Some(read(limit)?.saturating_sub(read(used)?))
    };
    let own = membership.lines().find_map(|line| line.strip_prefix("0::"));
    let v2 = own.and_then(|own| {
        let folder = format!("/sys/fs/cgroup{}", own.trim_end_matches('/'));
        left(&format!("{folder}/memory.max"), &format!("{folder}/memory.current"))
    });
    v2.or_else(|| {
        let v1 = "/sys/fs/cgroup/memory/memory";
        left(&format!("{v1}.limit_in_bytes"), &format!("{v1}.usage_in_bytes"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(machine("MemTotal: 9 kB\nMemAvailable:    2000 kB\n"), Some(2_048_000));
        let limits =
            "Limit  Soft  Hard  Units\nMax address space         8192000000 unlimited bytes\n";
        assert_eq!(limit(limits), Some(8_192_000_000));
        assert_eq!(limit("Max address space   unlimited  unlimited bytes\n"), None);
    }

    #[test]
    fn large_networks_take_the_most() {
        let preset = crate::methods::preset("ddppo", "PointMass").unwrap();
        let task = crate::env::task("PointMass").unwrap();
        let total = |config: &Config| estimate(config, &*task).iter().map(|(_, b)| b).sum::<u64>();
        assert!(total(&preset) < 1 << 31, "{}", total(&preset));
        let large = preset.with_settings(&["policy.hidden=16384".to_owned()]).unwrap();
        let needed = estimate(&large, &*task);
        assert!(advice(&needed).contains("`policy.hidden`"), "{}", advice(&needed));
        // 16384² weights, five copies of four bytes.
        assert!((5_300_000_000..6_500_000_000).contains(&needed[0].1), "{needed:?}");
        let preset = crate::methods::preset("ddppo-plus", "PointMass").unwrap();
        let large = ["critic.members=1000", "critic.hidden=2048"].map(str::to_owned);
        let needed = estimate(&preset.with_settings(&large).unwrap(), &*task);
        assert!(advice(&needed).contains("`critic.hidden`"), "{}", advice(&needed));
        // Twice 2048² weights, six copies of four bytes, a thousand times.
        assert!((200_000_000_000..240_000_000_000).contains(&needed[1].1), "{needed:?}");
    }
}
