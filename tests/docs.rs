//! The documentation agrees with the program. `docs/configuration.md` is written from the settings' own comments, ranges and
//! defaults: after a change there, renew it with `DDPPO_WRITE_DOCS=1 cargo test --test docs`.

#[path = "support/small_runs.rs"]
mod small_runs;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use ddppo::config::{Config, Setting, SettingKind};
use ddppo::lab::analysis::observer;
use ddppo::methods::{self, MethodInfo};
use small_runs::{trainer, with, with_both_models};

fn kind_in_words(kind: &SettingKind) -> String {
    match kind {
        SettingKind::Whole(low, high) => format!("whole number, {low} to {high}"),
        SettingKind::Number(range) => format!("number, {range}"),
        SettingKind::Flag => "`true` or `false`".to_owned(),
        SettingKind::Text(_) => "text".to_owned(),
        SettingKind::Numbers(range) => format!("list of numbers, {range}"),
        SettingKind::Choice(choices) => {
            let told = choices.iter().map(|(name, meaning)| format!("`{name}`: {meaning}"));
            told.collect::<Vec<_>>().join(" ")
        }
    }
}

/// A setting's value on each task.
fn values(presets: &[Config], key: &str) -> Vec<String> {
    presets.iter().map(|preset| preset.get(key).unwrap().to_string()).collect()
}

fn table(out: &mut String, presets: &[Config], settings: &[&Setting]) {
    out.push_str("| setting | default | value | meaning |\n|---|---|---|---|\n");
    for Setting { key, comment, kind, .. } in settings {
        let values = values(presets, key);
        let alike = values.iter().all(|value| *value == values[0]);
        let default = if alike { format!("`{}`", values[0]) } else { "per task".to_owned() };
        let (kind, comment) = (kind_in_words(kind), comment.replace('|', "\\|"));
        let _ = writeln!(out, "| `{key}` | {default} | {kind} | {comment} |");
    }
}

/// One method's settings, section by section, and its defaults where they differ from task to task.
fn method(info: &MethodInfo) -> String {
    let tasks: Vec<&str> = info.tasks_with_presets().collect();
    let presets: Vec<Config> = tasks.iter().map(|task| info.preset(task).unwrap()).collect();
    let described = info.described();
    let schema = described.schema();
    let mut out = format!("\n## `--algo {}`\n\n{}\n", info.name, info.summary);
    let variants: Vec<String> =
        info.variants.iter().map(|(name, _)| format!("`--variant {name}`")).collect();
    if !variants.is_empty() {
        let _ = writeln!(out, "\nVariants: {}.", variants.join(", "));
    }
    let plain: Vec<&Setting> =
        schema.settings.iter().filter(|setting| !setting.key.contains('.')).collect();
    out.push('\n');
    table(&mut out, &presets, &plain);
    for (section, comment) in &schema.sections {
        let _ = write!(out, "\n### `[{section}]` of {}\n\n{comment}\n\n", info.name);
        let of =
            |setting: &&Setting| setting.key.split_once('.').is_some_and(|(s, _)| s == section);
        let own: Vec<&Setting> = schema.settings.iter().filter(of).collect();
        table(&mut out, &presets, &own);
    }
    let _ = write!(
        out,
        "\n### Defaults of {} per task\n\n| setting | {} |\n|---|{}\n",
        info.name,
        tasks.join(" | "),
        "---|".repeat(tasks.len())
    );
    for Setting { key, .. } in &schema.settings {
        let values = values(&presets, key);
        if key != "task" && values.iter().any(|value| *value != values[0]) {
            let _ = writeln!(out, "| `{key}` | {} |", values.join(" | "));
        }
    }
    out
}

fn configuration() -> String {
    let mut out = "# Configuration\n\n\
        Every setting of a run, method by method, written from the settings' types by `tests/docs.rs`.\n\n\
        A run starts from the preset of its method and task (a folder `presets` beside each method: what differs from the method's\n\
        `default.toml`); `ddppo train TASK --set section.key=value` changes single settings, and the outcome is written into the\n\
        run's folder as `config.toml`. Values are TOML: `0.5`, `1e-3`, `100_000`, `true`, `[1e-4, 1e-4]`, a bare word for a choice.\n\
        Equations and tables are those of the paper.\n"
        .to_owned();
    for info in methods::all() {
        out += &method(info);
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

/// What short runs of all methods measure, with all parts at work.
fn measured_metrics() -> BTreeMap<String, BTreeSet<String>> {
    let settings = [
        "steps=300 training.warmup_steps=50 training.batch_size=16 training.model_every_steps=100",
        "training.min_transitions=50 training.policy_updates_per_step=1 training.critic_updates_per_step=1",
        "evaluation.every_steps=100 evaluation.episodes=1 model.members=2 model.elites=1 model.hidden=8",
        "model.layers=1 model.weight_decay=[0,0] model.patience_epochs=1 gradient_loss.neighbours=3",
        "gradient_loss.window=200 rollout.starts=50 rollout.capacity_per_step=400 policy.hidden=8 critic.hidden=8",
        "analysis.every_steps=100 analysis.states=5 model.termination=learned",
        "training.pretraining_updates=5 model.head_hidden=8",
        "training.block_steps=100 training.first_updates=20 training.critic_updates=5 model.first_steps=20",
        "model.steps=10 model.look_every=5 policy.layers=1 critic.layers=1 rollout.capacity=2000",
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|line| line.split(' ')).collect();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for info in methods::all() {
        let config = with_both_models(&with(&info.preset("PointMass").unwrap(), &settings));
        let mut trainer = trainer(&config);
        while trainer.step() < config.steps() {
            let mut records = trainer.advance().unwrap();
            records.extend(observer::observe(&trainer).unwrap());
            for record in records {
                let names = all.entry(record.kind.to_owned()).or_default();
                names.extend(record.values.keys().cloned());
                names.extend(record.time.keys().map(|name| format!("time.{name}")));
            }
        }
    }
    all
}

#[test]
fn metrics_are_documented() {
    let documented = documented_metrics(include_str!("../docs/metrics.md"));
    let mut measured = measured_metrics();
    assert_eq!(measured.len(), 5, "all kinds of records were made");
    // Only where the physics breaks.
    measured.entry("train".to_owned()).or_default().insert("unstable_steps".to_owned());
    measured.entry("evaluation".to_owned()).or_default().insert("unstable".to_owned());
    assert_eq!(documented, measured, "docs/metrics.md (left) and the metrics of runs (right)");
}

#[test]
fn the_table_of_results_is_up_to_date() {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/results.py");
    let output = std::process::Command::new("python3").args([tool, "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
