//! Which settings there are: those of a whole configuration, less those that a method has no use for, plus those that
//! older runs were made without.

use toml::{Table, Value};

use super::Algorithm;

/// Every setting, each with a value of its type: DDPPO has them all.
fn whole() -> Table {
    include_str!("../methods/ddppo/presets/inverted_pendulum.toml")
        .parse()
        .expect("a test reads every preset")
}

/// The settings of a method, each with a value of its type.
pub(crate) fn known(algorithm: Algorithm) -> Table {
    without_unused(whole(), algorithm)
}

/// Takes out what a method has no use for.
pub(crate) fn without_unused(mut table: Table, algorithm: Algorithm) -> Table {
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
pub(crate) fn complete(mut table: Table) -> Table {
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

/// Settings that came with the methods beside DDPPO, with what the runs before them did.
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

/// Sections that came after all methods, with what runs before them did.
const LATER_SECTIONS: &str = "
[analysis]
every_steps = 0
states = 200
[guards]
max_loss = inf
";

/// Adds the settings that a file of an older program lacks.
pub(crate) fn add_later_keys(table: &mut Table) {
    let name = table.get("algorithm").and_then(Value::as_str);
    let algorithm = name.and_then(|name| Algorithm::parse(name).ok());
    let sections = parse(LATER_SECTIONS);
    add_missing(table, &algorithm.map_or(sections.clone(), |own| without_unused(sections, own)));
    // The others came before the other methods did, into sections that DDPPO had from the start.
    if algorithm != Some(Algorithm::Ddppo) {
        return;
    }
    for (name, settings) in &parse(LATER) {
        if let (Some(Value::Table(section)), Value::Table(settings)) =
            (table.get_mut(name), settings)
        {
            add_missing(section, settings);
        }
    }
}

fn parse(text: &str) -> Table {
    text.parse().expect("it is written above")
}
