//! What comments and documents cite is there, and is in this repository: pages of `docs/`, their sections, decisions by number, links of
//! Markdown files, and paths of the source.
//!
//! Read as citations are: `docs/NAME.md`, with `, "SECTION"` behind it (and `and "SECTION"` behind that); `docs/decisions/` with a number;
//! the word "decision" with one or several numbers; a link, whose `#…` is a section of the page that it leads to. A citation may run over lines of a comment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file's path from the repository's root, and its text if it is one that can cite.
type File = (String, Option<String>);

/// Endings of the files that are read.
const READ: [&str; 8] = [".md", ".rs", ".toml", ".xml", ".py", ".sh", ".txt", "/run"];
/// What is no part of the repository, or made from it.
const SKIPPED: [&str; 8] =
    [".git", ".mujoco", ".python", "target", "runs", "corpus", "artifacts", "__pycache__"];
/// Papers of the workshop, which a reader does not have.
const ELSEWHERE: [&str; 5] = ["SPEC", "facts.md", "DESIGN.md", "../shared", "/work/"];
/// What tells of files as they were, or as somebody might add them.
const PAST_OR_POSSIBLE: [&str; 3] = ["docs/decisions/", "docs/adding-", "CHANGELOG.md"];
/// This file names all that.
const THIS: &str = "tests/citations.rs";

/// The files of the repository as citations see them.
struct Repository<'a> {
    paths: BTreeSet<&'a str>,
    /// Sections of each Markdown file: its headings.
    sections: BTreeMap<&'a str, Vec<String>>,
}

impl<'a> Repository<'a> {
    fn new(files: &'a [File]) -> Self {
        let pages = files.iter().filter(|(path, _)| path.ends_with(".md"));
        let sections = pages.filter_map(|(path, text)| Some((&**path, headings(text.as_ref()?))));
        Self {
            paths: files.iter().map(|(path, _)| &**path).collect(),
            sections: sections.collect(),
        }
    }

    /// Whether a file, or a folder, is there.
    fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let file = !path.ends_with('/') && self.paths.contains(path);
        file || path.is_empty() || self.paths.iter().any(|p| p.starts_with(&folder))
    }

    fn has_decision(&self, number: &str) -> bool {
        let start = format!("docs/decisions/{number}-");
        self.paths.iter().any(|path| path.starts_with(&start))
    }

    fn has_section(&self, page: &str, section: &str) -> bool {
        let section = section.replace('`', "");
        self.sections.get(page).is_some_and(|all| all.contains(&section))
    }

    /// By the name that GitHub makes of a heading.
    fn has_anchor(&self, page: &str, anchor: &str) -> bool {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let headings = self.sections.get(page).into_iter().flatten();
        headings.map(|heading| slug(heading)).any(|slug| {
            let count = seen.entry(slug.clone()).or_default();
            *count += 1;
            let numbered = format!("{slug}-{}", *count - 1);
            anchor == if *count == 1 { &slug } else { &numbered }
        })
    }
}

/// The headings of a Markdown text, without their code marks.
fn headings(text: &str) -> Vec<String> {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        (1..=6).contains(&level).then(|| title.strip_prefix(' ')).flatten().map(str::to_owned)
    };
    outside_fences(text).filter_map(|(_, line)| heading(line)).map(|t| t.replace('`', "")).collect()
}

/// Numbered lines that are not between code fences.
fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

/// A file's lines joined by spaces, comment marks taken off, so that a citation can run over a line's end.
struct Joined {
    text: String,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl Joined {
    fn new(path: &str, text: &str) -> Self {
        let marks: &[&str] = match path.rsplit('.').next() {
            Some("rs") => &["//!", "///", "//"],
            Some("toml" | "py" | "sh") => &["#"],
            _ => &[],
        };
        let (mut joined, mut starts) = (String::new(), Vec::new());
        for line in text.lines() {
            let line = line.trim();
            let mark = marks.iter().find(|mark| line.starts_with(**mark));
            starts.push(joined.len());
            joined += line[mark.map_or(0, |mark| mark.len())..].trim();
            joined.push(' ');
        }
        Self { text: joined, starts }
    }

    /// The number of the line at an offset.
    fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|&start| start <= at)
    }

    /// Where a word or a part of one begins, and what follows it.
    fn find<'s>(&'s self, wanted: &'s str) -> impl Iterator<Item = (usize, &'s str)> {
        self.text.match_indices(wanted).map(|(at, _)| (at, &self.text[at + wanted.len()..]))
    }
}

/// Everything cited that is not there.
fn findings(files: &[File]) -> Vec<String> {
    let repository = Repository::new(files);
    let mut found = Vec::new();
    for (path, text) in files {
        let Some(text) = text else { continue };
        let joined = Joined::new(path, text);
        let mut say = |line: usize, what: String| found.push(format!("{path}:{line}: {what}"));
        if path != THIS {
            papers_elsewhere(&joined, &mut say);
            pages(&repository, &joined, &mut say);
            decisions(&repository, &joined, &mut say);
        }
        if path.ends_with(".md") {
            links(&repository, path, text, &mut say);
        }
        if !PAST_OR_POSSIBLE.iter().any(|start| path.starts_with(start)) && path != THIS {
            source_paths(&repository, text, &mut say);
        }
    }
    found
}

fn papers_elsewhere(joined: &Joined, say: &mut impl FnMut(usize, String)) {
    for name in ELSEWHERE {
        for (at, after) in joined.find(name) {
            let before = joined.text[..at].chars().next_back().unwrap_or(' ');
            let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
            let longer = name == "SPEC" && after.starts_with(part_of_word);
            if !longer && !part_of_word(before) {
                say(joined.line(at), format!("cites `{name}`, which is not in the repository"));
            }
        }
    }
    for (at, after) in joined.find("facts ") {
        let numbered =
            after.starts_with(|c: char| c.is_ascii_digit()) && after[1..].starts_with('.');
        if numbered {
            say(joined.line(at), "cites `facts`, which are not in the repository".to_owned());
        }
    }
}

fn pages(repository: &Repository<'_>, joined: &Joined, say: &mut impl FnMut(usize, String)) {
    for (at, after) in joined.find("docs/") {
        let before = &joined.text[..at];
        let elsewhere = |c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        if before.ends_with(elsewhere) && !before.ends_with("../") {
            continue;
        }
        let in_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        let length = after.find(|c| !in_path(c)).unwrap_or(after.len());
        let path = format!("docs/{}", after[..length].trim_end_matches('.'));
        let number = path.strip_prefix("docs/decisions/").filter(|n| is_number(n));
        if !number.map_or_else(|| repository.has(&path), |n| repository.has_decision(n)) {
            say(joined.line(at), format!("there is no `{path}`"));
            continue;
        }
        let mut rest = after[length..].strip_prefix('`').unwrap_or(&after[length..]);
        let mut link = ", \"";
        while let Some((section, behind)) =
            rest.strip_prefix(link).and_then(|rest| rest.split_once('"'))
        {
            if !repository.has_section(&path, section) {
                say(joined.line(at), format!("`{path}` has no section \"{section}\""));
            }
            (rest, link) = (behind, " and \"");
        }
    }
}

fn is_number(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit())
}

fn decisions(repository: &Repository<'_>, joined: &Joined, say: &mut impl FnMut(usize, String)) {
    for (at, after) in joined.find("ecision") {
        let mut rest = after.strip_prefix('s').unwrap_or(after);
        let mut links: &[&str] = &[" "];
        while let Some(behind) = links.iter().find_map(|link| rest.strip_prefix(link)) {
            let Some(number) = behind.get(..3).filter(|n| is_number(n)) else { break };
            if !repository.has_decision(number) {
                say(joined.line(at), format!("there is no decision {number}"));
            }
            rest = &behind[3..];
            links = &[" and ", ", ", "–", " to "];
        }
    }
}

fn links(repository: &Repository<'_>, path: &str, text: &str, say: &mut impl FnMut(usize, String)) {
    for (line, content) in outside_fences(text) {
        for (at, _) in content.match_indices("](") {
            let Some(target) = content[at + 2..].split(')').next() else { continue };
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (to, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if to.is_empty() { path.to_owned() } else { beside(path, to) };
            if !repository.has(&to) {
                say(line, format!("the link `{target}` leads nowhere"));
            } else if !anchor.is_empty() && !repository.has_anchor(&to, anchor) {
                say(line, format!("`{to}` has no section `#{anchor}`"));
            }
        }
    }
}

/// The path `to` as seen from the folder of `path`.
fn beside(path: &str, to: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Paths of the source that stand between code marks.
fn source_paths(repository: &Repository<'_>, text: &str, say: &mut impl FnMut(usize, String)) {
    for (line, content) in outside_fences(text) {
        for code in content.split('`').skip(1).step_by(2) {
            let code = code.split("::").next().unwrap_or(code);
            let ours = ["src/", "tests/", "examples/", "benches/"];
            let path = code.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.".contains(c));
            if path && ours.iter().any(|folder| code.starts_with(folder)) && !repository.has(code) {
                say(line, format!("there is no `{code}`"));
            }
        }
    }
}

/// The repository's files.
fn repository_files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if SKIPPED.iter().any(|skipped| path.ends_with(skipped)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if READ.iter().any(|end| name.ends_with(end)) {
                files.push((name, fs::read_to_string(path).ok()));
            } else {
                files.push((name, None));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn what_is_cited_is_there() {
    let found = findings(&repository_files());
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

#[test]
fn citations_that_lead_nowhere_are_seen() {
    let page =
        "# Page\n\n## The `least` of two\n\n```\n## Not a section\n```\n## Twice\n## Twice\n";
    let found_in = |path: &str, text: &str| {
        let files = [
            ("docs/page.md".to_owned(), Some(page.to_owned())),
            ("docs/decisions/001-first.md".to_owned(), Some("# First".to_owned())),
            ("src/there.rs".to_owned(), Some(String::new())),
            (path.to_owned(), Some(text.to_owned())),
        ];
        findings(&files)
    };
    let right = [
        ("src/a.rs", "//! As in docs/page.md, \"The\n//! `least` of two\" and \"Twice\".\n"),
        (
            "src/a.rs",
            "// `docs/page.md`; docs/decisions/001-first.md, docs/decisions/001, decision 001.\n",
        ),
        (
            "src/a.rs",
            "fn f() { g(\"docs/page.md\", \"x\"); include_str!(\"../docs/page.md\") } // SPECIAL artefacts 1",
        ),
        ("a.toml", "# docs/page.md, \"The least\n# of two\"\n"),
        (
            "docs/b.md",
            "[p](page.md#the-least-of-two) [q](page.md#twice-1) [r](../src/there.rs) [s](https://x.org/docs/y)\n",
        ),
        ("docs/b.md", "`src/there.rs` and `Thing` and `src/` in [d](decisions/001-first.md)\n"),
        ("docs/decisions/002-b.md", "`src/gone.rs`\n"),
    ];
    for (path, text) in right {
        assert_eq!(found_in(path, text), [""; 0], "{text}");
    }
    let wrong = [
        ("src/a.rs", "\n// docs/gone.md\n", "src/a.rs:2: there is no `docs/gone.md`"),
        ("src/a.rs", "// docs/page.md, \"Not a section\"", "has no section"),
        ("src/a.rs", "// docs/page.md, \"Twice\"\n// and \"Thrice\"", "has no section \"Thrice\""),
        ("src/a.rs", "// docs/decisions/007", "there is no `docs/decisions/007`"),
        ("src/a.rs", "// (decision 002)", "there is no decision 002"),
        ("a.md", "Decisions 001, 003", "there is no decision 003"),
        ("a.md", "decisions 001–004", "there is no decision 004"),
        ("src/a.rs", "// as SPEC's section 2 says", "cites `SPEC`"),
        ("src/a.rs", "// facts.md 1.2", "cites `facts.md`"),
        ("a.py", "# (facts 1.2)", "cites `facts`"),
        ("a.md", "see DESIGN.md", "cites `DESIGN.md`"),
        ("a.md", "see `../shared/x`", "cites `../shared`"),
        ("docs/b.md", "[p](page.md#gone)", "has no section `#gone`"),
        ("docs/b.md", "[p](gone.md)", "leads nowhere"),
        ("docs/b.md", "`src/gone.rs`", "there is no `src/gone.rs`"),
    ];
    for (path, text, expected) in wrong {
        let found = found_in(path, text);
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
    }
}
