//! The source keeps to the map in CONTRIBUTING.md ("The rooms").
//!
//! 1. **Downwards only.** A room uses rooms that stand below it on the map, in `use` lines and in paths in the code alike. Every room of the map
//!    exists, and every folder and file of `src/` is on it. `lib.rs` only declares the rooms. Nor does a folder of `methods/` use another one there.
//! 2. **No circles.** Within a room, files do not use each other in a circle, over however many of them; nor do the folders in it, each taken as a
//!    whole. A file uses the one that *defines* what it names: a name that a `mod.rs` only passes on leads through it. A `mod.rs` is a file like any other,
//!    but `mod` lines, and `pub use` lines for its own children, are no uses of them unless its code names what they pass on.
//!    So children may use what their `mod.rs` defines as long as it uses nothing of theirs, directly or by way of others; or it may use them, and they nothing of its.
//! 3. **No type name twice.** What other files can name (`pub`, `pub(crate)`, `pub(super)`) has a name of its own.
//!
//! Items under `#[cfg(test)]` are free of the first two rules. What the code does with a method of a value does not show: the tests read names.

mod module_tree;
mod rules;
mod rust_source;

use std::fs;
use std::path::Path;

use rules::{findings, shared_names};

/// All Rust files of `src/`, by path from the repository's root.
fn source_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut files) = (vec![root.join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn rooms_use_only_rooms_below_them_and_nothing_goes_in_circles() {
    let map = include_str!("../../CONTRIBUTING.md");
    let found = findings(map, &source_files());
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_type_name_is_there_twice() {
    let found = shared_names(&source_files());
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

/// A small house, top to bottom: main, cli, high, low.
const MAP: &str =
    "# House\n```text\nmain.rs   starts\ncli/  flags\nhigh/  uses low\nlow.rs   is used\n```\n";

/// What is found in that house when `changed` files replace its own or stand beside them.
fn found_with(changed: &[(&str, &str)]) -> Vec<String> {
    let own = [
        ("src/lib.rs", "pub mod high; pub mod low;"),
        ("src/main.rs", "mod cli;\nfn main() { cli::start() }"),
        ("src/cli/mod.rs", "use ddppo::high::Thing;\npub fn start() { Thing::new() }"),
        ("src/high/mod.rs", "mod a; mod b;\npub use a::Thing;\npub use b::Other;"),
        ("src/high/a.rs", "use super::Other;\nuse crate::low::Word;\npub struct Thing;"),
        ("src/high/b.rs", "pub struct Other;"),
        ("src/low.rs", "pub struct Word;"),
    ];
    let kept = own.iter().filter(|(path, _)| changed.iter().all(|(other, _)| other != path));
    let mut files: Vec<(String, String)> =
        kept.chain(changed).map(|&(path, text)| (path.to_owned(), text.to_owned())).collect();
    files.sort();
    let mut found = findings(MAP, &files);
    found.extend(shared_names(&files));
    found
}

#[test]
fn a_house_in_order_has_no_findings() {
    let found = found_with(&[]);
    assert!(found.is_empty(), "{found:?}");
    // Neither what is said nor what is tested counts.
    let quiet = "//! use crate::high::Thing;\npub struct Word;\nconst S: &str = r#\"crate::high::\"x\"#;\n\
                 #[cfg(test)]\nmod tests {\n    use crate::high::Thing;\n}\n/* /* */ crate::high */";
    let found = found_with(&[("src/low.rs", quiet)]);
    assert!(found.is_empty(), "{found:?}");
    // Children may use what a mod.rs defines that only passes on what is theirs.
    let shared = "mod a; mod b;\npub use a::Thing;\npub use b::Other;\npub struct Common;";
    let child = "use super::Common;\npub struct Other;";
    let found = found_with(&[("src/high/mod.rs", shared), ("src/high/b.rs", child)]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn each_rule_is_seen_broken() {
    let cases: [(&str, &[(&str, &str)]); 14] = [
        ("src/low.rs:1: upward: `low` uses", &[("src/low.rs", "use crate::high::Thing;")]),
        (
            "src/low.rs:2: upward: `low` uses",
            &[("src/low.rs", "use {\n    crate::{high as h},\n};")],
        ),
        ("src/low.rs:2: upward: `low` uses", &[("src/low.rs", "fn f() {\n    crate::high::g() }")]),
        ("src/low.rs:1: upward: `low` uses", &[("src/low.rs", "fn f() { super::high::g() }")]),
        (
            "src/low.rs:1: upward: `low` uses",
            &[("src/low.rs", "macro_rules! m { () => { $crate::high::g() } }")],
        ),
        (
            "src/low.rs:1: upward: `low` uses",
            &[("src/low.rs", "#[cfg(not(test))] use crate::high::Thing;")],
        ),
        ("src/cli/mod.rs:1: upward: `cli` uses", &[("src/cli/mod.rs", "use crate::main;")]),
        (
            "circle: src/high/ {b.rs, mod.rs}",
            &[
                ("src/high/mod.rs", "mod a; mod b;\npub use b::*;\npub struct Common(Other);"),
                ("src/high/b.rs", "use super::Common;\npub struct Other;"),
            ],
        ),
        (
            "src/methods/one/mod.rs:1: method: `one` uses",
            &[
                ("src/methods/mod.rs", "pub mod one;\npub mod two;"),
                ("src/methods/one/mod.rs", "use super::two::Two;"),
                ("src/methods/two/mod.rs", "pub struct Two;"),
            ],
        ),
        ("map: src/attic is not on the map", &[("src/attic/mod.rs", "")]),
        (
            "circle: src/high/ {a.rs, b.rs}",
            &[("src/high/b.rs", "use super::Thing;\npub struct Other;")],
        ),
        (
            "circle: src/high/ {b.rs, mod.rs}",
            &[
                ("src/high/mod.rs", "mod a; mod b;\npub use b::Other;\npub struct Common(Other);"),
                ("src/high/b.rs", "use super::Common;\npub struct Other;"),
            ],
        ),
        (
            "circle: src/high/ {b.rs, inner}",
            &[
                ("src/high/inner/mod.rs", "pub mod one;\npub mod two;"),
                ("src/high/inner/one.rs", "use crate::high::b::Other;"),
                ("src/high/inner/two.rs", "pub struct Two;"),
                ("src/high/b.rs", "use super::inner::two::Two;\npub struct Other;"),
            ],
        ),
        (
            "name: `Word` is more than one type",
            &[("src/high/b.rs", "pub struct Other;\npub(crate) enum Word {}")],
        ),
    ];
    for (expected, changed) in cases {
        let found = found_with(changed);
        assert!(found.iter().any(|f| f.starts_with(expected)), "{expected}: {found:?}");
    }
    let found = findings(&MAP.replace("low.rs", "attic/  old\nlow.rs"), &[]);
    assert!(found.contains(&"map: the room `attic` is on the map, but not in src/".to_owned()));
    let found = findings(&MAP.replace("is used", ""), &[]);
    assert!(found[0].starts_with("map: a line is a room and what it is for"), "{found:?}");
}
