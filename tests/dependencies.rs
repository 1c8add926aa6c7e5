//! Every package that the program is built from has a licence and a source that `deny.toml` allows. Without a network: the
//! advisories need `cargo deny check`.

use std::collections::BTreeSet;
use std::process::Command;

/// Whether an SPDX expression can be met with allowed licences. An old `/` stands for `OR`.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    assert!(rest.is_empty(), "{expression}: {rest:?} is left");
    met
}

fn either<'w>(words: &'w [&'w str], allowed: &BTreeSet<String>) -> (bool, &'w [&'w str]) {
    let (mut met, mut rest) = both(words, allowed);
    while let ["OR", more @ ..] = rest {
        let (other, after) = both(more, allowed);
        (met, rest) = (met || other, after);
    }
    (met, rest)
}

fn both<'w>(words: &'w [&'w str], allowed: &BTreeSet<String>) -> (bool, &'w [&'w str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let ["AND", more @ ..] = rest {
        let (other, after) = one(more, allowed);
        (met, rest) = (met && other, after);
    }
    (met, rest)
}

fn one<'w>(words: &'w [&'w str], allowed: &BTreeSet<String>) -> (bool, &'w [&'w str]) {
    match words {
        ["(", inside @ ..] => {
            let (met, rest) = either(inside, allowed);
            assert_eq!(rest.first(), Some(&")"));
            (met, &rest[1..])
        }
        [licence, "WITH", exception, rest @ ..] => {
            (allowed.contains(&format!("{licence} WITH {exception}")), rest)
        }
        [licence, rest @ ..] => (allowed.contains(*licence), rest),
        [] => panic!("an expression ends too early"),
    }
}

#[test]
fn expressions_are_read() {
    let allowed = BTreeSet::from(["MIT", "Zlib", "A WITH B"].map(str::to_owned));
    for met in
        ["MIT", "GPL OR MIT", "GPL/MIT", "MIT AND Zlib", "(GPL OR MIT) AND Zlib", "A WITH B OR GPL"]
    {
        assert!(is_met(met, &allowed), "{met}");
    }
    for not in ["GPL", "MIT AND GPL", "GPL OR MIT AND GPL", "A", "(GPL OR MIT) AND GPL", "A WITH C"]
    {
        assert!(!is_met(not, &allowed), "{not}");
    }
}

#[test]
fn every_package_may_be_used() {
    let deny: toml::Table = include_str!("../deny.toml").parse().unwrap();
    let list = |section: &str, key: &str| -> BTreeSet<String> {
        let values = deny[section][key].as_array().unwrap();
        values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let (licences, registries) = (list("licenses", "allow"), list("sources", "allow-registry"));
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", &platform, "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "{} packages", packages.len());
    for package in packages {
        let name = &package["name"];
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(
            is_met(licence, &licences),
            "{name} is under {licence}: deny.toml does not allow that"
        );
        if let Some(source) = package["source"].as_str() {
            let registry = source.strip_prefix("registry+").unwrap_or(source);
            assert!(registries.contains(registry), "{name} comes from {source}");
        }
    }
}
