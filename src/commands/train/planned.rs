//! Which runs a group is made of, and where each lies.

use std::path::PathBuf;

use anyhow::Context;
use ddppo::config::{Config, suggest};
use ddppo::device::DeviceLearner;
use ddppo::methods::{self, variants_of};

use super::scene::{Scene, configured};
use crate::cli::{MOST_RUNS, RunPart, SeedList, TrainArgs};
use crate::commands::output::UsageError;

/// A run that is to be.
pub struct PlannedRun {
    pub config: Config,
    /// Its folder; `None` for the next that is free.
    pub folder: Option<PathBuf>,
}

/// All runs of a group, each of which has device programs.
pub fn planned(args: &TrainArgs, scene: &Scene) -> anyhow::Result<Vec<PlannedRun>> {
    let mut all = Vec::new();
    let whole = RunPart { name: String::new(), count: None };
    let parts = args.runs.as_ref().map_or(std::slice::from_ref(&whole), |parts| &parts.0);
    for part in parts {
        let named = args.runs.is_some();
        let config = if named { of_part(args, scene, part)? } else { whole_group(args, scene)? };
        let seeds = seeds(args, part, &config)?;
        let several = args.seeds.is_some() || named;
        for seed in seeds {
            let mut settings = vec![format!("seed={seed}")];
            if args.session.tensorboard {
                settings.push("report.tensorboard=true".to_owned());
            }
            let folder = args.out.as_ref().map(|out| match several {
                true => out.join(&part.name).join(format!("seed{seed}")),
                false => out.clone(),
            });
            all.push(PlannedRun { config: config.with_settings(&settings)?, folder });
        }
    }
    if all.len() > MOST_RUNS {
        let message = format!("--runs are {} runs, and {MOST_RUNS} at most", all.len());
        return Err(UsageError(message).into());
    }
    Ok(all)
}

fn whole_group(args: &TrainArgs, scene: &Scene) -> anyhow::Result<Config> {
    let config = configured(args, scene, &args.algo, args.variant.as_deref())?;
    DeviceLearner::check(&config)?;
    Ok(config)
}

/// The configuration of a part's runs.
fn of_part(args: &TrainArgs, scene: &Scene, part: &RunPart) -> anyhow::Result<Config> {
    let name = &part.name;
    let in_part = || format!("--runs {name}");
    let (method, variant) = find(&args.algo, name)?;
    let config = configured(args, scene, method, variant).with_context(in_part)?;
    DeviceLearner::check(&config).with_context(in_part)?;
    Ok(config)
}

/// The method and the variant that a part's name means.
fn find<'n>(algo: &'n str, name: &'n str) -> anyhow::Result<(&'n str, Option<&'n str>)> {
    // A wrong `--algo` is the first thing to say.
    methods::find(algo)?;
    if methods::find(name).is_ok() {
        return Ok((name, None));
    }
    if variants_of(algo).any(|variant| variant == name) {
        return Ok((algo, Some(name)));
    }
    let names = || methods::all().iter().map(|info| info.name);
    let hint = suggest::hint(name, names().chain(variants_of(algo)));
    let list = |names: Vec<&str>| names.join(", ");
    let known = match list(variants_of(algo).collect()) {
        none if none.is_empty() => format!("{algo} has no variants"),
        known => format!("variants of {algo} are {known}"),
    };
    let elsewhere = names().find(|&method| variants_of(method).any(|variant| variant == name));
    let elsewhere = elsewhere.map_or(String::new(), |method| {
        format!("; it is a variant of {method}, by `--algo {method}`")
    });
    let methods = list(names().collect());
    Err(UsageError(format!(
        "--runs: there is no method or variant `{name}`{hint}; methods are {methods}; {known}{elsewhere}"
    ))
    .into())
}

/// The seeds of a part's runs: those of `--seeds`, or so many from `--seed` on.
fn seeds(args: &TrainArgs, part: &RunPart, config: &Config) -> anyhow::Result<Vec<u64>> {
    let RunPart { name, count } = part;
    let Some(SeedList(given)) = &args.seeds else {
        let first = config.seed();
        let last = first.checked_add(count.unwrap_or(1) as u64).filter(|&end| end <= 1 << 63);
        let last = last.ok_or_else(|| {
            UsageError(format!("--runs {name}: no {} seeds follow {first}", count.unwrap_or(1)))
        })?;
        return Ok((first..last).collect());
    };
    let wanted = count.unwrap_or(given.len());
    if wanted > given.len() {
        let message = format!(
            "--runs {name}:{wanted} needs {wanted} seeds, and --seeds has {}: leave --seeds out for the seeds from --seed on",
            given.len()
        );
        return Err(UsageError(message).into());
    }
    Ok(given[..wanted].to_vec())
}
