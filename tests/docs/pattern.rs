//! What an example says an answer looks like: text with a few words that stand for what differs from run to run.

use std::collections::BTreeMap;

/// What the words of an example stand for: found in an answer, used in later requests.
pub(crate) type Names = BTreeMap<String, String>;

/// The head of every page in format `js`, as [`shown`] shows it.
pub(crate) const PROLOGUE: &str = concat!(
    r#"<html><head><meta http-equiv="Pragma" content="no-cache"><meta http-equiv="Expires" "#,
    r#"content="Tue, 31 Dec 1997 23:59:59 GMT"></head><body>\n<script language="JavaScript"> var url=" "; \n"#,
    r#"function refresh() { document.location.href=url; }</script>"#
);

/// How far a `TIME` may be from this machine's clock, in seconds.
const TIME_SLACK_S: u64 = 60;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// These characters.
    Literal(String),
    /// A session id or an address: the same word is the same text in the whole example.
    Token(String),
    /// A subscription id.
    Sid(String),
    /// Seconds since 1970, about now.
    Time,
    /// A number between these two.
    Range(u64, u64),
    /// Anything, as short as possible.
    Any,
}

/// The text of an expected answer, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

/// What kind of word it is; `None` if it stands for itself.
fn special(word: &str) -> Option<Piece> {
    match word.trim_end_matches(|letter: char| letter.is_ascii_digit()) {
        "ID" | "ADDRESS" => Some(Piece::Token(word.to_owned())),
        "SID" => Some(Piece::Sid(word.to_owned())),
        _ if word == "TIME" => Some(Piece::Time),
        _ if word == "PROLOGUE" => Some(Piece::Literal(PROLOGUE.to_owned())),
        _ => None,
    }
}

/// The word that stands in braces at the beginning of `text`, as `{TIME}` in `{TIME}x`: only so can it touch a letter.
fn braced(text: &str) -> Option<&str> {
    let (word, _) = text.strip_prefix('{')?.split_once('}')?;
    special(word).map(|_| word)
}

/// Splits a text into words of letters, digits and `_`, escapes like `\n` and `\x00`, and what is between them.
fn words(text: &str) -> Vec<&str> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(word) = braced(rest) {
            found.push(word);
            rest = &rest[word.len() + 2..];
            continue;
        }
        let end = match (first, rest.chars().nth(1)) {
            ('\\', Some('x')) => 4,
            ('\\', Some('n' | 'r' | 't')) => 2,
            ('\\', _) => 1,
            _ if is_word(first) => rest.find(|letter| !is_word(letter)).unwrap_or(rest.len()),
            _ => {
                let stops = |letter| is_word(letter) || letter == '\\' || letter == '{';
                let first = first.len_utf8();
                rest[first..].find(stops).map_or(rest.len(), |at| first + at)
            }
        };
        let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        found.push(word);
        rest = behind;
    }
    found
}

/// Writes out repetitions: `x{3}` is `xxx`, `(ab){2}` is `abab`.
pub(crate) fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let count = behind.split_once('}').and_then(|(digits, rest)| Some((digits.parse::<usize>().ok()?, rest)));
        match (repeated(&out), count) {
            (Some((at, unit)), Some((count, behind))) => {
                let all = unit.repeat(count);
                out.truncate(at);
                out.push_str(&all);
                rest = behind;
            }
            _ => {
                out.push('{');
                rest = behind;
            }
        }
    }
    out + rest
}

/// What is to be repeated at the end of `text`, and where it begins: the last character, or what stands in the parentheses there.
fn repeated(text: &str) -> Option<(usize, &str)> {
    if let Some(inner) = text.strip_suffix(')') {
        let at = inner.rfind('(')?;
        return Some((at, &inner[at + 1..]));
    }
    let last = text.chars().next_back()?;
    let at = text.len() - last.len_utf8();
    Some((at, &text[at..]))
}

/// Puts what is known into a request.
///
/// # Errors
///
/// The word that stands for nothing yet.
pub(crate) fn fill(request: &str, names: &Names) -> Result<String, String> {
    let mut out = String::new();
    for word in words(request) {
        match special(word) {
            Some(Piece::Token(name) | Piece::Sid(name)) => match names.get(&name) {
                Some(text) => out.push_str(text),
                None => return Err(format!("{name} stands for nothing yet")),
            },
            _ => out.push_str(word),
        }
    }
    Ok(expand(&out))
}

/// A body as examples show it: a line feed is `\n`, and so on; a byte that is no printable character is `\xNN`. The tail of a body that
/// goes on is left out as long as it is half a character.
pub(crate) fn shown(body: &[u8], goes_on: bool) -> String {
    let mut out = String::new();
    let mut left = body.len();
    for chunk in body.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
                letter => out.push(letter),
            }
        }
        left -= chunk.valid().len() + chunk.invalid().len();
        if left > 0 || !goes_on {
            chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
        }
    }
    out
}

/// The length of the run of digits that `text` begins with.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

impl Pattern {
    /// Reads the text of an example.
    pub(crate) fn new(text: &str) -> Self {
        let text = expand(text);
        let mut pieces = Vec::new();
        let found = words(&text);
        let mut at = 0;
        while let Some(word) = found.get(at) {
            at += 1;
            let next = |ahead: usize| found.get(at + ahead).copied().unwrap_or_default();
            let bounds = word.parse().ok().zip(next(1).parse().ok()).filter(|_| next(0) == "..");
            if let Some((low, high)) = bounds {
                pieces.push(Piece::Range(low, high));
                at += 2;
            } else if let Some(piece) = special(word) {
                pieces.push(piece);
            } else {
                let mut parts = word.split("...");
                pieces.extend(parts.next().map(|part| Piece::Literal(part.to_owned())));
                pieces.extend(parts.flat_map(|part| [Piece::Any, Piece::Literal(part.to_owned())]));
            }
        }
        pieces.retain(|piece| *piece != Piece::Literal(String::new()));
        Self(pieces)
    }

    /// Whether it ends in `...` and so takes all that comes.
    pub(crate) fn takes_the_rest(&self) -> bool {
        self.0.last() == Some(&Piece::Any)
    }

    /// How many bytes of `text` it matches from the beginning, and what its words stand for then.
    pub(crate) fn matches(&self, text: &str, names: &Names, now_s: u64) -> Option<(usize, Names)> {
        let mut names = names.clone();
        let length = run(&self.0, text, &mut names, now_s)?;
        Some((length, names))
    }
}

fn run(pieces: &[Piece], text: &str, names: &mut Names, now_s: u64) -> Option<usize> {
    let Some((piece, others)) = pieces.split_first() else { return Some(0) };
    let taken = match piece {
        Piece::Literal(literal) => text.starts_with(literal.as_str()).then_some(literal.len())?,
        Piece::Token(name) => {
            let token = text.get(..24)?;
            let fits = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
            token.bytes().all(fits).then_some(())?;
            named(name, token, names)?
        }
        Piece::Sid(name) => {
            let length = 1 + digits(text.strip_prefix('s')?);
            named(name, &text[..length], names)?
        }
        Piece::Time => {
            let length = digits(text);
            let time: u64 = text[..length].parse().ok()?;
            (time.abs_diff(now_s) <= TIME_SLACK_S).then_some(length)?
        }
        Piece::Range(low, high) => {
            let length = digits(text);
            let number: u64 = text[..length].parse().ok()?;
            (low..=high).contains(&&number).then_some(length)?
        }
        Piece::Any if others.is_empty() => return Some(text.len()),
        Piece::Any => {
            return text.char_indices().find_map(|(at, _)| {
                let mut found = names.clone();
                let rest = run(others, &text[at..], &mut found, now_s)?;
                *names = found;
                Some(at + rest)
            });
        }
    };
    Some(taken + run(others, &text[taken..], names, now_s)?)
}

/// The length of `text` if `name` may stand for it.
fn named(name: &str, text: &str, names: &mut Names) -> Option<usize> {
    let known = names.entry(name.to_owned()).or_insert_with(|| text.to_owned());
    (known == text).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAA";

    fn matched(pattern: &str, text: &str) -> Option<usize> {
        Pattern::new(pattern).matches(text, &Names::new(), 1000).map(|(length, _)| length)
    }

    #[test]
    fn words_stand_for_what_differs() {
        assert_eq!(matched("p_time=\"TIME\"", "p_time=\"1010\""), Some(13));
        assert_eq!(matched("p_time=\"TIME\"", "p_time=\"42\""), None, "too long ago");
        assert_eq!(matched("w=2..6 ", "w=6 "), Some(4));
        assert_eq!(matched("w=2..6 ", "w=7 "), None);
        assert_eq!(matched("a...c", "abcabc"), Some(3));
        assert_eq!(matched("a...", "abc"), Some(3));
        assert_eq!(matched("x{3}y", "xxxy"), Some(4));
        assert_eq!(matched("(xy{2}){2}z", "xyyxyyz"), Some(7));
        assert_eq!(matched("t{TIME}x{2}", "t1010xx"), Some(7));
        assert_eq!(matched("{\"a\":{ID}", "{\"a\":{}"), None);
        assert_eq!(matched("sid=SID.", "sid=s17."), Some(8));
        assert_eq!(matched("\\x0aTIME\\n", "\\x0a1010\\n"), Some(10));
        assert_eq!(matched("lID", &format!("l{TOKEN}")), None, "part of a word is no word");
    }

    #[test]
    fn a_word_stands_for_one_text() {
        let text = format!("{TOKEN} {TOKEN}");
        assert_eq!(matched("ID ID", &text), Some(49));
        assert_eq!(matched("ID ID", &format!("{TOKEN} {}", TOKEN.replace('A', "B"))), None);
        let (_, names) = Pattern::new("ID1 ...").matches(&text, &Names::new(), 0).expect("a match");
        assert_eq!(fill("?p_id=ID1&t=x{2}", &names), Ok(format!("?p_id={TOKEN}&t=xx")));
        assert!(fill("?p_id=ID2", &names).is_err());
    }

    #[test]
    fn bytes_are_shown() {
        assert_eq!(shown(b"a\n\xac\xed\0\xe4\xb8\xad", false), "a\\n\\xac\\xed\\x00\u{4e2d}");
        assert_eq!(shown(b"a\xe4\xb8", true), "a");
        assert_eq!(shown(b"a\xe4\xb8", false), "a\\xe4\\xb8");
    }
}
