//! The modules of the library and of the program, file by file, and where the paths that they name lead.

use std::collections::{BTreeMap, BTreeSet};

use super::rust_source::{Token, closing, tokens, without_tests};

/// The library (`crate` in it, `ddppo` in the program) or the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crate {
    Library,
    Program,
}

/// A module by its names from the crate's root on.
pub type Module = (Crate, Vec<String>);

/// What a `use` line brings in, one for each name.
#[derive(Clone, Debug)]
pub struct Import {
    /// As written, the groups spelled out.
    pub path: Vec<String>,
    /// The name that it has here; `*` for all.
    pub name: String,
    /// Whether others see it here: a re-export.
    pub public: bool,
    pub line: usize,
    /// The module around it within its file.
    inside: Vec<String>,
}

/// A path that stands in the code itself.
#[derive(Clone, Debug)]
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
    /// The module around it within its file.
    inside: Vec<String>,
}

/// A file of `src/` without its tests.
#[derive(Debug)]
pub struct Source {
    /// From the repository's root.
    pub path: String,
    pub module: Module,
    pub imports: Vec<Import>,
    pub mentions: Vec<Mention>,
    /// Words and marks outside of `use` lines.
    pub code: Vec<Token>,
    /// Names of the items that it defines.
    pub defines: BTreeSet<String>,
}

/// Where a path leads: the file's module, and the name of the item in it if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub module: Module,
    pub item: Option<String>,
}

/// All files.
pub struct Tree {
    pub sources: Vec<Source>,
    by_module: BTreeMap<Module, usize>,
}

const ITEMS: [&str; 9] =
    ["struct", "enum", "trait", "type", "fn", "const", "static", "union", "macro_rules"];

impl Tree {
    /// Reads files, each its path from the repository's root and its text. `programs` are the rooms of the program.
    pub fn new(files: &[(String, String)], programs: &[&str]) -> Self {
        let mut read = Vec::new();
        let mut tests = BTreeSet::new();
        for (path, text) in files {
            let (code, test_files) = without_tests(&tokens(text));
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for file in test_files {
                tests.insert(format!("{folder}/{}.rs", file.trim_end_matches(".rs")));
            }
            read.push((path, code));
        }
        let sources: Vec<Source> = read
            .into_iter()
            .filter(|(path, _)| !tests.contains(*path))
            .map(|(path, code)| Source::new(path, code, programs))
            .collect();
        let by_module = sources.iter().enumerate().map(|(i, s)| (s.module.clone(), i)).collect();
        Self { sources, by_module }
    }

    /// The file of a module.
    pub fn source(&self, module: &Module) -> &Source {
        &self.sources[self.by_module[module]]
    }

    /// Where an import leads; `None` for another crate's.
    pub fn import(&self, of: &Source, import: &Import) -> Option<Target> {
        let inside = [&of.module.1[..], &import.inside].concat();
        self.resolve(of, &import.path, &inside, 0)
    }

    /// Where a path in the code leads; `None` for another crate's, and for what is no module's.
    pub fn mention(&self, of: &Source, mention: &Mention) -> Option<Target> {
        let inside = [&of.module.1[..], &mention.inside].concat();
        self.resolve(of, &mention.path, &inside, 0)
    }

    /// `from`: the module that the path stands in, which is a file's or one within a file.
    fn resolve(&self, of: &Source, path: &[String], from: &[String], depth: u8) -> Option<Target> {
        let own = of.module.0;
        let (first, rest) = path.split_first()?;
        let (krate, base, rest) = match &**first {
            "crate" => (own, Vec::new(), rest),
            "ddppo" if own == Crate::Program => (Crate::Library, Vec::new(), rest),
            "self" => (own, from.to_vec(), rest),
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                (own, from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..])
            }
            name if self.by_module.contains_key(&(own, [from, &[name.to_owned()]].concat())) => {
                (own, from.to_vec(), path)
            }
            // A module or type that a `use` line of this file brings in.
            name => {
                let known = |import: &&Import| import.name == name && import.path != path;
                let import = of.imports.iter().find(known).filter(|_| depth < 8)?;
                let path = [&import.path, rest].concat();
                return self.resolve(of, &path, &of.module.1, depth + 1);
            }
        };
        Some(self.descend((krate, base), rest, depth))
    }

    /// Goes down from a module, and on through what the file there only passes on.
    fn descend(&self, (krate, mut names): Module, path: &[String], depth: u8) -> Target {
        let mut path = path.iter().filter(|word| *word != "self").peekable();
        while let Some(name) = path.peek() {
            let below = (krate, [&names[..], &[(*name).clone()]].concat());
            if !self.by_module.contains_key(&below) {
                break;
            }
            names = below.1;
            path.next();
        }
        // A module within a file: what is in it is the file's.
        while !names.is_empty() && !self.by_module.contains_key(&(krate, names.clone())) {
            names.pop();
        }
        let module = (krate, names);
        let rest: Vec<String> = path.cloned().collect();
        let item = rest.first().filter(|item| *item != "*").cloned();
        let (Some(name), Some(&at)) = (&item, self.by_module.get(&module)) else {
            return Target { module, item };
        };
        let source = &self.sources[at];
        if source.defines.contains(name) || depth >= 8 {
            return Target { module, item };
        }
        let named = source.imports.iter().find(|import| import.name == *name);
        if let Some(import) = named {
            let path = [&import.path, &rest[1..]].concat();
            if let Some(target) = self.resolve(source, &path, &module.1, depth + 1) {
                return target;
            }
        }
        for import in source.imports.iter().filter(|import| import.name == "*") {
            let path = [&import.path[..import.path.len() - 1], &rest].concat();
            if let Some(target) = self.resolve(source, &path, &module.1, depth + 1)
                && target.item.as_ref().is_some_and(|item| {
                    self.by_module.contains_key(&target.module)
                        && self.source(&target.module).defines.contains(item)
                })
            {
                return target;
            }
        }
        Target { module, item }
    }
}

impl Source {
    fn new(path: &str, code: Vec<Token>, programs: &[&str]) -> Self {
        let names = path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut names: Vec<String> = names.split('/').map(str::to_owned).collect();
        let krate = match programs.contains(&&*names[0]) {
            true => Crate::Program,
            false => Crate::Library,
        };
        if matches!(&*names[names.len() - 1], "mod" | "lib" | "main") {
            names.pop();
        }
        let defined = |pair: &[Token]| {
            let (word, name) = (&pair[0], &pair[1]);
            (ITEMS.contains(&&*word.text) && name.is_word()).then(|| name.text.clone())
        };
        let macros = code.windows(3).filter(|t| t[0].text == "macro_rules" && t[1].text == "!");
        let mut defines: BTreeSet<String> = code.windows(2).filter_map(defined).collect();
        defines.extend(macros.map(|t| t[2].text.clone()));
        let mut source = Self {
            path: path.to_owned(),
            module: (krate, names),
            imports: Vec::new(),
            mentions: Vec::new(),
            code: Vec::new(),
            defines,
        };
        source.read(&code);
        source
    }

    /// The file's room: the first folder of `src/` or the file there; `lib` for the library's root.
    pub fn room(&self) -> &str {
        let path = self.path.trim_start_matches("src/");
        path.split_once('/').map_or(path.trim_end_matches(".rs"), |(room, _)| room)
    }

    fn read(&mut self, code: &[Token]) {
        let text = |i: usize| code.get(i).map_or("", |t| &*t.text);
        // Modules within the file, each with the token at which it ends.
        let mut inside: Vec<(String, usize)> = Vec::new();
        let mut at = 0;
        while at < code.len() {
            inside.retain(|&(_, end)| at < end);
            let before = if at == 0 { "" } else { text(at - 1) };
            if text(at) == "mod" && text(at + 2) == "{" {
                inside.push((text(at + 1).to_owned(), closing(code, at + 2)));
            }
            let inside: Vec<String> = inside.iter().map(|(name, _)| name.clone()).collect();
            if text(at) == "use" && text(at + 1) != "<" {
                let public = matches!(before, "pub" | ")");
                let import = Import { path: vec![], name: String::new(), public, line: 0, inside };
                at = self.read_use(code, at + 1, &import);
                continue;
            }
            let begins = code[at].is_word() && text(at + 1) == "::" && before != "::";
            if begins && !(before == "in" && text(at.saturating_sub(3)) == "pub") {
                let mut path = vec![text(at).to_owned()];
                let mut next = at + 1;
                while text(next) == "::" && code.get(next + 1).is_some_and(Token::is_word) {
                    path.push(text(next + 1).to_owned());
                    next += 2;
                }
                self.mentions.push(Mention { path, line: code[at].line, inside });
            }
            self.code.push(code[at].clone());
            at += 1;
        }
    }

    /// One tree of a `use` line, which continues `begun`; returns where it ends, before the `,`, `}` or `;`.
    fn read_use(&mut self, code: &[Token], mut at: usize, begun: &Import) -> usize {
        let mut import = begun.clone();
        import.line = code.get(at).map_or(0, |t| t.line);
        while let Some(token) = code.get(at) {
            at += 1;
            match &*token.text {
                "::" => {}
                "{" => {
                    while code.get(at).is_some_and(|t| t.text != "}") {
                        at = self.read_use(code, at, &import);
                        at += usize::from(code.get(at).is_some_and(|t| t.text == ","));
                    }
                    return at + 1;
                }
                "as" => {
                    import.name = code.get(at).map_or_else(String::new, |t| t.text.clone());
                    self.imports.push(import);
                    return at + 1;
                }
                "," | "}" | ";" => {
                    at -= 1;
                    break;
                }
                word => import.path.push(word.to_owned()),
            }
        }
        if import.path.last().is_some_and(|word| word == "self") {
            import.path.pop();
        }
        if let Some(name) = import.path.last() {
            import.name = name.clone();
            self.imports.push(import);
        }
        at
    }
}
