//! The rules of the map, as `main.rs` states them.

use std::collections::{BTreeMap, BTreeSet};

use super::module_tree::{Source, Target, Tree};

/// Types that may share a name, each with its reason.
const SHARED_NAMES: [(&str, &str); 0] = [];

/// The rooms of a map, top to bottom: the lines of the first fenced text block, a room and its sentence each.
fn rooms(map: &str) -> Result<Vec<String>, String> {
    let block = map.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.ok_or("the map is not there: a block that begins with ```text")?;
    block.lines().map(room).collect()
}

fn room(line: &str) -> Result<String, String> {
    let (name, sentence) = line.split_once(' ').unwrap_or((line, ""));
    if sentence.trim().is_empty() {
        return Err(format!("map: a line is a room and what it is for: `{line}`"));
    }
    Ok(name.trim_end_matches('/').trim_end_matches(".rs").to_owned())
}

/// The rooms of the program: `main`, and what `main.rs` declares.
fn programs(files: &[(String, String)]) -> Vec<&str> {
    let main = files.iter().find(|(path, _)| path == "src/main.rs");
    let lines = main.map_or("", |(_, text)| text).lines();
    let modules = lines.filter_map(|line| {
        line.strip_suffix(';')
            .and_then(|line| line.strip_prefix("mod ").or(line.strip_prefix("pub mod ")))
    });
    ["main"].into_iter().chain(modules).collect()
}

/// One file's use of another.
struct Use<'a> {
    from: &'a Source,
    line: usize,
    /// As written.
    path: String,
    target: Target,
    /// The room that the path names, before it is passed on.
    named: String,
    /// Passed on to others by the `mod.rs` of the target's folder.
    passed_on: bool,
    /// Through a name that a `use` line, which counts itself, has brought in.
    again: bool,
}

/// All uses of the source's own files.
fn uses(tree: &Tree) -> Vec<Use<'_>> {
    let mut all = Vec::new();
    for from in &tree.sources {
        for import in &from.imports {
            let Some(target) = tree.import(from, import) else { continue };
            let below = target.module.1.starts_with(&from.module.1) && target.module != from.module;
            let passed_on = import.public
                && from.path.ends_with("/mod.rs")
                && below
                && !names_in_code(from, &import.name, tree.source(&target.module));
            let (path, line) = (import.path.join("::"), import.line);
            let named = named_room(tree, from, &import.path, &target);
            all.push(Use { from, line, path, target, named, passed_on, again: false });
        }
        for mention in &from.mentions {
            let Some(target) = tree.mention(from, mention) else { continue };
            let (path, line) = (mention.path.join("::"), mention.line);
            let named = named_room(tree, from, &mention.path, &target);
            let again = from.imports.iter().any(|import| import.name == mention.path[0]);
            all.push(Use { from, line, path, target, named, passed_on: false, again });
        }
    }
    all
}

/// Whether the file's code, outside of `use` lines, names what a `pub use` line passes on: `name`, or with `*` all that `target` defines.
fn names_in_code(source: &Source, name: &str, target: &Source) -> bool {
    let is_it = |word: &str| word == name || (name == "*" && target.defines.contains(word));
    source.code.windows(2).any(|pair| {
        let is_type = pair[0].text.starts_with(char::is_uppercase);
        is_it(&pair[0].text) && (is_type || matches!(&*pair[1].text, "(" | "::" | "!"))
    })
}

fn named_room(tree: &Tree, from: &Source, path: &[String], target: &Target) -> String {
    match path {
        [root, room, ..] if root == "crate" || root == "ddppo" => room.clone(),
        [first, ..] if first == "super" || first == "self" => from.room().to_owned(),
        _ => tree.source(&target.module).room().to_owned(),
    }
}

/// What breaks rules 1 and 2.
pub fn findings(map: &str, files: &[(String, String)]) -> Vec<String> {
    let rooms = match rooms(map) {
        Ok(rooms) => rooms,
        Err(problem) => return vec![problem],
    };
    let tree = Tree::new(files, &programs(files));
    let mut found = off_the_map(&rooms, &tree);
    let uses = uses(&tree);
    found.extend(upward(&rooms, &tree, &uses));
    found.extend(between_methods(&tree, &uses));
    found.extend(circles(&tree, &uses));
    found
}

fn off_the_map(rooms: &[String], tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let there: BTreeSet<&str> = tree.sources.iter().map(Source::room).collect();
    for (at, room) in rooms.iter().enumerate() {
        if !there.contains(&**room) {
            found.push(format!("map: the room `{room}` is on the map, but not in src/"));
        }
        if rooms[..at].contains(room) {
            found.push(format!("map: the room `{room}` is on the map twice"));
        }
    }
    let missing = there.iter().filter(|room| **room != "lib" && !rooms.iter().any(|r| r == *room));
    found.extend(missing.map(|room| format!("map: src/{room} is not on the map")));
    found
}

fn upward(rooms: &[String], tree: &Tree, uses: &[Use<'_>]) -> Vec<String> {
    let floor = |room: &str| rooms.iter().position(|r| r == room);
    let mut found = BTreeMap::new();
    for used in uses.iter().filter(|used| !used.again) {
        let (own, last) = (used.from.room(), tree.source(&used.target.module).room());
        for room in [&*used.named, last] {
            let (Some(from), Some(to)) = (floor(own), floor(room)) else { continue };
            if to < from {
                let place = format!("{}:{}", used.from.path, used.line);
                let message =
                    format!("upward: `{own}` uses `{}`, and `{room}` stands above it", used.path);
                found.insert((place.clone(), room), format!("{place}: {message}"));
            }
        }
    }
    found.into_values().collect()
}

/// Uses of one method's folder in another's.
fn between_methods(tree: &Tree, uses: &[Use<'_>]) -> Vec<String> {
    let method = |path: &str| -> Option<String> {
        let (folder, _) = path.strip_prefix("src/methods/")?.split_once('/')?;
        Some(folder.to_owned())
    };
    let mut found = Vec::new();
    for used in uses.iter().filter(|used| !used.again) {
        let (own, other) =
            (method(&used.from.path), method(&tree.source(&used.target.module).path));
        if let (Some(own), Some(other)) = (own, other)
            && own != other
        {
            let Use { from, line, path, .. } = used;
            let place = format!("{}:{line}", from.path);
            found.push(format!("{place}: method: `{own}` uses `{path}`, which is `{other}`'s own"));
        }
    }
    found
}

/// Circles within rooms: in each folder, its files and the folders in it, each of them one node.
fn circles(tree: &Tree, uses: &[Use<'_>]) -> Vec<String> {
    // By folder: from which node to which, with the first place where it shows.
    let mut graphs: BTreeMap<String, BTreeMap<(String, String), String>> = BTreeMap::new();
    for used in uses.iter().filter(|used| !used.passed_on) {
        let target = tree.source(&used.target.module);
        if target.path == used.from.path || target.room() != used.from.room() {
            continue;
        }
        let from: Vec<&str> = used.from.path.split('/').collect();
        let to: Vec<&str> = target.path.split('/').collect();
        let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        let edge = (from[shared].to_owned(), to[shared].to_owned());
        let place = format!("{}:{} uses `{}`", used.from.path, used.line, used.path);
        graphs.entry(from[..shared].join("/")).or_default().entry(edge).or_insert(place);
    }
    let mut found = Vec::new();
    for (folder, edges) in &graphs {
        let reach = reachable(edges.keys());
        let round = |a: &str, b: &str| {
            reach.contains(&(a.to_owned(), b.to_owned()))
                && reach.contains(&(b.to_owned(), a.to_owned()))
        };
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let nodes: BTreeSet<&str> = edges.keys().map(|(from, _)| &**from).collect();
        for &node in &nodes {
            if seen.contains(node) || !round(node, node) {
                continue;
            }
            let circle: Vec<&str> = nodes.iter().copied().filter(|n| round(node, n)).collect();
            let inside =
                edges.iter().filter(|((a, b), _)| circle.contains(&&**a) && circle.contains(&&**b));
            let places: Vec<String> =
                inside.map(|((a, b), place)| format!("\n    {a} → {b}: {place}")).collect();
            found.push(format!(
                "circle: {folder}/ {{{}}} use each other{}",
                circle.join(", "),
                places.concat()
            ));
            seen.extend(circle);
        }
    }
    found
}

/// Pairs of nodes of which the second can be reached from the first.
fn reachable<'a>(
    edges: impl Iterator<Item = &'a (String, String)> + Clone,
) -> BTreeSet<(String, String)> {
    let mut reach: BTreeSet<(String, String)> = edges.clone().cloned().collect();
    loop {
        let further: Vec<(String, String)> = reach
            .iter()
            .flat_map(|(from, over)| {
                let next = edges.clone().filter(move |(start, _)| start == over);
                next.map(move |(_, to)| (from.clone(), to.clone()))
            })
            .filter(|pair| !reach.contains(pair))
            .collect();
        if further.is_empty() {
            return reach;
        }
        reach.extend(further);
    }
}

/// What breaks rule 3.
pub fn shared_names(files: &[(String, String)]) -> Vec<String> {
    let tree = Tree::new(files, &programs(files));
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in &tree.sources {
        for (at, pair) in source.code.windows(2).enumerate() {
            let kinds = ["struct", "enum", "trait", "type", "union"];
            let before = if at == 0 { "" } else { &source.code[at - 1].text };
            let public = matches!(before, "pub" | ")" | "unsafe");
            if public && kinds.contains(&&*pair[0].text) && pair[1].is_word() {
                let place = format!("{}:{}", source.path, pair[1].line);
                places.entry(&pair[1].text).or_default().push(place);
            }
        }
    }
    // Twice in one file is one type for each of several platforms.
    let file = |place: &String| place.split(':').next().map(str::to_owned);
    places.retain(|name, places| {
        let files: BTreeSet<_> = places.iter().map(file).collect();
        files.len() > 1 && SHARED_NAMES.iter().all(|(shared, _)| shared != name)
    });
    places
        .iter()
        .map(|(name, places)| {
            format!("name: `{name}` is more than one type: {}", places.join(", "))
        })
        .collect()
}
