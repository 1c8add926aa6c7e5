//! Names from files that may have come from elsewhere, made harmless for a terminal: an escape sequence in a task's name
//! could otherwise rewrite what is on the screen.

use std::fmt::Write;

/// The text with every control character written out, but for line ends and tabs.
pub fn harmless(text: &str) -> String {
    written_out(text, |c| is_command(c) && !matches!(c, '\n' | '\t'))
}

/// The text on one line, with every control character written out.
pub fn one_line(text: &str) -> String {
    written_out(text, is_command)
}

fn written_out(text: &str, is_out: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_out(c) {
            write!(clean, "{}", c.escape_default()).expect("a string takes all");
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether a character is no sign to be read but a command to what shows it: the control characters, the separators of
/// lines and paragraphs, and those that turn the direction of writing.
fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_out() {
        assert_eq!(one_line("a\u{1b}[31mb\nc\u{9b}2J"), "a\\u{1b}[31mb\\nc\\u{9b}2J");
        assert_eq!(harmless("a\tb\nc\r\u{202e}"), "a\tb\nc\\r\\u{202e}");
        assert_eq!(one_line("λ ≤ 1, größer, 中"), "λ ≤ 1, größer, 中");
    }
}
