//! Which settings there are: those of a whole configuration, less those that a method has no use for, plus those that
//! older runs were made without.

use toml::{Table, Value};

use super::Algorithm;

/// Every setting, each with a value of its type: DDPPO has them all.
fn whole() -> Table {
    include_str!("../../presets/ddppo/inverted_pendulum.toml")
        .parse()
        .expect("a test reads every preset")
}

/// The settings of a method, each with a value of its type.
pub(super) fn known(algorithm: Algorithm) -> Table {
    without_unused(whole(), algorithm)
}

/// Takes out what a method has no use for.
pub(super) fn without_unused(mut table: Table, algorithm: Algorithm) -> Table {
    for key in algorithm.unused() {
        match key.split_once('.') {
            None => drop(table.remove(*key)),
            Some((section, name)) => {
                if let Some(Value::Table(section)) = table.get_mut(section) {
                    section.remove(name);
                }
            }
        }
    }
    table
}

/// Adds what a method has no use for, so that there is one configuration type for all methods. The values mean nothing.
pub(super) fn complete(mut table: Table) -> Table {
    add_missing(&mut table, &whole());
    table
}

fn add_missing(table: &mut Table, from: &Table) {
    for (key, value) in from {
        match (table.get_mut(key), value) {
            (Some(Value::Table(section)), Value::Table(from)) => add_missing(section, from),
            (Some(_), _) => {}
            (None, value) => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

/// Settings that came after the first runs, with what those runs did.
const LATER: &str = "
[model]
train_bounds = false
max_holdout = 1_000_000
bootstrap = false
restore_best = false
[policy]
normalised_density = false
[temperature]
automatic = true
";

/// A section that came after the first runs of every method.
const LATER_SECTION: &str = "
[guards]
max_loss = inf
";

/// Adds the settings that a file of an older program lacks.
pub(super) fn add_later_keys(table: &mut Table) {
    add_missing(table, &LATER_SECTION.parse().expect("it is written above"));
    // The others came before the other methods did, into sections that DDPPO had from the start.
    if table.get("algorithm").and_then(Value::as_str) != Some(Algorithm::Ddppo.name()) {
        return;
    }
    let later: Table = LATER.parse().expect("it is written above");
    for (name, settings) in &later {
        if let (Some(Value::Table(section)), Value::Table(settings)) =
            (table.get_mut(name), settings)
        {
            add_missing(section, settings);
        }
    }
}
