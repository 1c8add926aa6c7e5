//! Enough of Rust's grammar to read which paths and types a source file names: its tokens, without comments, the text of
//! literals, and what is compiled for tests only.

/// A word, a literal, or a mark; `::` and `->` are one mark each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The word or mark itself; a text or character has a `"` before it, so that it is no word.
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

impl Token {
    /// Whether it can be a name: a word that is no number.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The tokens of a file.
pub fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let (mut at, mut line, mut all) = (0, 1, Vec::new());
    while at < text.len() {
        let end = next(&text, at);
        let first = text[at];
        let comment = first == '/' && matches!(text.get(at + 1), Some('/' | '*'));
        if !first.is_whitespace() && !comment {
            let literal = matches!(text[end - 1], '"' | '\'' | '#') && end - at > 1;
            let written: String = text[at..end].iter().collect();
            let text = if literal { format!("\"{written}") } else { written };
            all.push(Token { text, line });
        }
        line += text[at..end].iter().filter(|&&c| c == '\n').count();
        at = end;
    }
    all
}

/// Where the token, comment or white space that begins at `at` ends.
fn next(text: &[char], at: usize) -> usize {
    let get = |i: usize| text.get(i).copied().unwrap_or('\0');
    let find = |from: usize, wanted: &dyn Fn(usize) -> bool| {
        (from..text.len()).find(|&i| wanted(i)).unwrap_or(text.len())
    };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    match get(at) {
        c if c.is_whitespace() => at + 1,
        '/' if get(at + 1) == '/' => find(at, &|i| text[i] == '\n'),
        '/' if get(at + 1) == '*' => end_of_comment(text, at),
        '"' => end_of_string(text, at),
        // A character, or a lifetime.
        '\'' if get(at + 1) == '\\' => find(at + 3, &|i| text[i] == '\'') + 1,
        '\'' if get(at + 2) == '\'' => at + 3,
        '\'' => find(at + 1, &|i| !is_word(text[i])),
        c if is_word(c) => {
            let end = find(at, &|i| !is_word(text[i]));
            let word: String = text[at..end].iter().collect();
            match (word.as_str(), get(end)) {
                ("r" | "br" | "cr", '"' | '#') => end_of_raw_string(text, end).unwrap_or(end),
                ("b" | "c", '"') => end_of_string(text, end),
                ("b", '\'') => next(text, end),
                _ => end,
            }
        }
        ':' if get(at + 1) == ':' => at + 2,
        '-' if get(at + 1) == '>' => at + 2,
        _ => at + 1,
    }
}

fn end_of_comment(text: &[char], at: usize) -> usize {
    let (mut i, mut depth) = (at, 0);
    while i + 1 < text.len() {
        match (text[i], text[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    text.len()
}

fn end_of_string(text: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < text.len() && text[i] != '"' {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(text.len())
}

/// `at` is behind the r; a raw name such as `r#type` is no string.
fn end_of_raw_string(text: &[char], at: usize) -> Option<usize> {
    let hashes = text[at..].iter().take_while(|&&c| c == '#').count();
    if text.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| {
        text[i] == '"' && text[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    (at + hashes + 1..text.len()).find(|&i| closes(i)).map(|i| i + 1 + hashes)
}

/// The tokens outside of items under `#[cfg(test)]`, and the files that such an item brings in: the module's name, or what
/// `#[path]` says.
pub fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut files, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        let Attributes { length, test, path } = attributes(&tokens[at..]);
        let item = at + length;
        if !test {
            let end = item.max(at + 1);
            kept.extend_from_slice(&tokens[at..end]);
            at = end;
            continue;
        }
        at = end_of_item(tokens, item);
        let words: Vec<&str> = tokens[item..at].iter().map(|t| &*t.text).collect();
        if let [.., "mod", name, ";"] = words[..] {
            files.push(path.unwrap_or_else(|| name.to_owned()));
        }
    }
    (kept, files)
}

/// What stands before an item.
struct Attributes {
    /// In tokens.
    length: usize,
    /// Whether one is `cfg(test)` or `cfg(all(test, …))`.
    test: bool,
    /// What `#[path]` says.
    path: Option<String>,
}

/// The attributes with which `tokens` begins.
fn attributes(tokens: &[Token]) -> Attributes {
    let mut all = Attributes { length: 0, test: false, path: None };
    let text = |i: usize| tokens.get(i).map_or("", |t| &*t.text);
    while text(all.length) == "#" && text(all.length + 1) == "[" {
        let end = closing(tokens, all.length + 1);
        let words: Vec<&str> = tokens[all.length..end].iter().map(|t| &*t.text).collect();
        match words[2..] {
            ["cfg", ..] => all.test |= words.contains(&"test") && !words.contains(&"not"),
            ["path", "=", path, "]"] => all.path = Some(path.trim_matches('"').to_owned()),
            _ => {}
        }
        all.length = end;
    }
    all
}

/// Behind the bracket that closes the one at `open`.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match &*token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// Behind the `;` or the braces with which the item at `at` ends.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match &*tokens[at].text {
            ";" => return at + 1,
            "{" => return closing(tokens, at),
            "(" | "[" => at = closing(tokens, at),
            _ => at += 1,
        }
    }
    at
}
