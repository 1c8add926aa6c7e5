//! The documentation agrees with the program. `docs/configuration.md` is written from the configuration's own comments:
//! after a change there, renew it with `DDPPO_WRITE_DOCS=1 cargo test --test docs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use ddppo::config::{Algorithm, Config, differences, tasks_with_presets};
use ddppo::train::Trainer;

/// A struct or enum of `src/config.rs` with the comments in it.
struct Item {
    name: String,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    kind: String,
    doc: String,
}

/// Reads the public structs and enums. The file is ours, and plain: one field a line, comments above.
fn parse(source: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut doc = String::new();
    let mut inside = false;
    for line in source.lines() {
        let text = line.trim();
        if let Some(comment) = text.strip_prefix("///") {
            doc = format!("{doc} {}", comment.trim()).trim().to_owned();
        } else if let Some(head) =
            text.strip_prefix("pub struct ").or_else(|| text.strip_prefix("pub enum "))
        {
            let name = head.trim_end_matches(" {").to_owned();
            items.push(Item { name, fields: Vec::new() });
            doc.clear();
            inside = true;
        } else if text == "}" {
            inside = false;
            doc.clear();
        } else if inside && !text.starts_with('#') && !text.is_empty() {
            let field = text.trim_start_matches("pub ").trim_end_matches(',');
            let (name, kind) = field.split_once(": ").unwrap_or((field, ""));
            let fields = &mut items.last_mut().unwrap().fields;
            fields.push(Field {
                name: name.to_owned(),
                kind: kind.to_owned(),
                doc: std::mem::take(&mut doc),
            });
        } else if !text.starts_with('#') {
            doc.clear();
        }
    }
    items
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

fn type_in_words(kind: &str, items: &[Item]) -> String {
    match kind {
        "u64" | "usize" => "whole number".to_owned(),
        "f64" => "number".to_owned(),
        "bool" => "`true` or `false`".to_owned(),
        "String" => "text".to_owned(),
        "Vec<f64>" => "list of numbers".to_owned(),
        "Algorithm" => {
            let describe = |a: &Algorithm| format!("`{}`: {}", a.name(), a.summary());
            Algorithm::ALL.iter().map(describe).collect::<Vec<_>>().join(" ")
        }
        other => {
            let choices = items
                .iter()
                .find(|item| item.name == other)
                .unwrap_or_else(|| panic!("no type {other}"));
            let names: Vec<String> = choices
                .fields
                .iter()
                .map(|choice| format!("`{}`: {}", snake_case(&choice.name), choice.doc))
                .collect();
            names.join(" ")
        }
    }
}

fn value(table: &toml::Table, key: &str) -> toml::Value {
    key.split('.').fold(toml::Value::Table(table.clone()), |value, part| value[part].clone())
}

fn configuration() -> String {
    let items = parse(include_str!("../src/config/mod.rs"));
    let tasks: Vec<&str> = tasks_with_presets(Algorithm::Ddppo).collect();
    let presets: Vec<toml::Table> = tasks
        .iter()
        .map(|task| Config::preset(Algorithm::Ddppo, task).unwrap().to_toml().parse().unwrap())
        .collect();
    let root = items.iter().find(|item| item.name == "Config").unwrap();
    let mut out = "# Configuration\n\n\
        Every setting of a run, written from the comments in `src/config.rs` by `tests/docs.rs`.\n\n\
        A run starts from the preset of its method and task (`presets/`); `ddppo train TASK --set section.key=value` changes\n\
        single settings, and the outcome is written into the run's folder as `config.toml`. Values are TOML: `0.5`, `1e-3`,\n\
        `100_000`, `true`, `[1e-4, 1e-4]`, a bare word for a choice. The default is the same for all tasks unless it says\n\
        “per task”: those are in a table below. The defaults are DDPPO's; the last section has those of the other methods.\n\
        Equations and tables are those of the paper.\n"
        .to_owned();
    let mut differing = Vec::new();
    let mut section = |out: &mut String,
                       title: &str,
                       doc: &str,
                       prefix: &str,
                       fields: &[&Field]| {
        let _ = write!(
            out,
            "\n## {title}\n\n{doc}\n\n| setting | default | type | meaning |\n|---|---|---|---|\n"
        );
        for field in fields {
            let key = format!("{prefix}{}", field.name);
            let values: Vec<String> =
                presets.iter().map(|preset| value(preset, &key).to_string()).collect();
            let default = if values.iter().all(|value| *value == values[0]) {
                format!("`{}`", values[0])
            } else {
                differing.push((key.clone(), values));
                "per task".to_owned()
            };
            let _ = writeln!(
                out,
                "| `{key}` | {default} | {} | {} |",
                type_in_words(&field.kind, &items),
                field.doc.replace('|', "\\|")
            );
        }
    };
    let is_section = |field: &&Field| field.kind.ends_with("Config");
    let plain: Vec<&Field> = root.fields.iter().filter(|field| !is_section(field)).collect();
    section(
        &mut out,
        "The run",
        "What is learned, how long, with which random numbers.",
        "",
        &plain,
    );
    for field in root.fields.iter().filter(is_section) {
        let item = items.iter().find(|item| item.name == field.kind).unwrap();
        let fields: Vec<&Field> = item.fields.iter().collect();
        section(
            &mut out,
            &format!("`[{}]`", field.name),
            &field.doc,
            &format!("{}.", field.name),
            &fields,
        );
    }
    out.push_str("\n## Defaults per task\n\n| setting |");
    for task in &tasks {
        let _ = write!(out, " {task} |");
    }
    let _ = writeln!(out, "\n|---|{}", "---|".repeat(tasks.len()));
    for (key, values) in differing.iter().filter(|(key, _)| key != "task") {
        let _ = writeln!(out, "| `{key}` | {} |", values.join(" | "));
    }
    for &algorithm in Algorithm::ALL.iter().filter(|&&a| a != Algorithm::Ddppo) {
        out += &other_method(algorithm, &tasks, &presets);
    }
    out
}

/// The settings that a method lacks, and those whose defaults are not DDPPO's.
fn other_method(algorithm: Algorithm, tasks: &[&str], ddppo: &[toml::Table]) -> String {
    let name = algorithm.name();
    let unused: Vec<String> = algorithm.unused().iter().map(|key| format!("`{key}`")).collect();
    let mut out = format!(
        "\n## Defaults of `--algo {name}`\n\n{} It has no {}. Its other defaults are DDPPO's, but for\n\n\
        | setting | {} |\n|---|{}\n",
        algorithm.summary(),
        unused.join(", "),
        tasks.join(" | "),
        "---|".repeat(tasks.len()),
    );
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (at, task) in tasks.iter().enumerate() {
        let own: toml::Table = Config::preset(algorithm, task).unwrap().to_toml().parse().unwrap();
        for (key, ours, theirs) in differences(&own, &ddppo[at]) {
            if ours != "absent" && key != "algorithm" {
                rows.entry(key).or_insert_with(|| vec![String::new(); tasks.len()])[at] = ours;
            }
            assert_ne!(theirs, "absent", "DDPPO has all settings");
        }
    }
    for (key, values) in rows {
        // Where a task has no value of its own, it is DDPPO's.
        let shown = values.iter().map(|v| if v.is_empty() { "·" } else { v }).collect::<Vec<_>>();
        let _ = writeln!(out, "| `{key}` | {} |", shown.join(" | "));
    }
    out
}

#[test]
fn configuration_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let expected = configuration();
    assert!(!expected.contains("|  |"), "a setting lacks its comment");
    if std::env::var_os("DDPPO_WRITE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
    assert!(
        found == expected,
        "docs/configuration.md is out of date (first at line {line:?}): renew it with DDPPO_WRITE_DOCS=1 cargo test --test docs"
    );
}

/// The metrics documented for each kind: first column of its table, and the words of its `time` line.
fn documented_metrics(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for section in text.split("\n## `").skip(1) {
        let kind = section.split('`').next().unwrap().to_owned();
        let names = all.entry(kind).or_default();
        for line in section.lines() {
            if let Some(row) = line.strip_prefix("| `") {
                names.insert(row.split('`').next().unwrap().to_owned());
            } else if let Some(times) = line.strip_prefix("`time`: ") {
                names
                    .extend(times.split('`').skip(1).step_by(2).map(|name| format!("time.{name}")));
            }
        }
    }
    all
}

/// What a short run with all parts at work measures.
fn measured_metrics() -> BTreeMap<String, BTreeSet<String>> {
    let settings = [
        "steps=300 training.warmup_steps=50 training.batch_size=16 training.model_every_steps=100",
        "training.min_transitions=50 training.policy_updates_per_step=1 training.critic_updates_per_step=1",
        "evaluation.every_steps=100 evaluation.episodes=1 model.members=2 model.elites=1 model.hidden=8",
        "model.layers=1 model.weight_decay=[0,0] model.patience_epochs=1 gradient_loss.neighbours=3",
        "rollout.starts=50 rollout.capacity_per_step=400 policy.hidden=8 critic.hidden=8",
        "analysis.every_steps=100 analysis.states=5",
    ];
    let settings: Vec<String> =
        settings.iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect();
    let config =
        Config::preset(Algorithm::Ddppo, "PointMass").unwrap().with_settings(&settings).unwrap();
    let mut trainer =
        Trainer::new(config.clone(), ddppo::env::task(&config.task).unwrap()).unwrap();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while trainer.step() < config.steps {
        for record in trainer.advance().unwrap() {
            let names = all.entry(record.kind.to_owned()).or_default();
            names.extend(record.values.keys().cloned());
            names.extend(record.time.keys().map(|name| format!("time.{name}")));
        }
    }
    all
}

#[test]
fn metrics_are_documented() {
    let documented = documented_metrics(include_str!("../docs/metrics.md"));
    let measured = measured_metrics();
    assert_eq!(measured.len(), 5, "all kinds of records were made");
    assert_eq!(documented, measured, "docs/metrics.md (left) and the metrics of a run (right)");
}
