//! Events as the terminal tools see them, and the two ways of writing them as lines: for people and as JSON.

use std::fmt::Write as _;

/// One event: names and values as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    fields: Vec<(String, String)>,
    /// The object that it came as, if it did: a line of JSON.
    object: Option<String>,
}

/// Server's fields that the line for people leaves out: the subject stands in front, the others name no more than the
/// plumbing, and the `p_id` that the original shows to everybody is a password (rule P-34).
const NOT_FOR_PEOPLE: [&str; 6] = ["p_event", "p_subject", "p_id", "p_sid", "p_seq", "p_time"];

impl Event {
    /// An event of these fields.
    pub(super) const fn new(fields: Vec<(String, String)>) -> Self {
        Self { fields, object: None }
    }

    /// An event of these fields that came as the JSON object `text`.
    pub(super) fn as_it_came(fields: Vec<(String, String)>, text: &str) -> Self {
        let mut object = String::with_capacity(text.len());
        for letter in text.chars() {
            match letter {
                // In JSON these can only stand between its words.
                '\n' | '\r' | '\t' => object.push(' '),
                letter => json_letter(&mut object, letter),
            }
        }
        Self { fields, object: Some(object) }
    }

    /// The field's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The `p_event`; empty if there is none.
    pub(super) fn kind(&self) -> &str {
        self.get("p_event").unwrap_or_default()
    }

    /// `SUBJECT name=value ...` on one line: the publisher's fields first, then those of the server that say something
    /// to people.
    pub(super) fn to_line(&self) -> String {
        let mut line = quoted(self.get("p_subject").unwrap_or_default());
        let shown = self.fields.iter().filter(|(name, _)| !NOT_FOR_PEOPLE.contains(&name.as_str()));
        let (servers, publishers): (Vec<_>, Vec<_>) = shown.partition(|(name, _)| name.starts_with("p_"));
        for (name, value) in publishers.into_iter().chain(servers) {
            line.push(' ');
            line.push_str(&quoted(name));
            line.push('=');
            line.push_str(&quoted(value));
        }
        line
    }

    /// One JSON object on one line: as it came, or every value a string, in the order in which the fields came; without `p_id` (rule
    /// P-34).
    pub(super) fn to_json(&self) -> String {
        if let Some(object) = &self.object {
            return object.clone();
        }
        let mut line = String::from("{");
        for (name, value) in self.fields.iter().filter(|(name, _)| name != "p_id") {
            if line.len() > 1 {
                line.push(',');
            }
            json_string(&mut line, name);
            line.push(':');
            json_string(&mut line, value);
        }
        line.push('}');
        line
    }
}

/// Writes a JSON string. Besides what JSON asks for, every control character is escaped: the line may end on a
/// terminal.
fn json_string(line: &mut String, text: &str) {
    line.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => line.extend(['\\', letter]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            letter => json_letter(line, letter),
        }
    }
    line.push('"');
}

/// Writes a character within a JSON string.
fn json_letter(line: &mut String, letter: char) {
    if !is_dangerous(letter) {
        return line.push(letter);
    }
    for unit in letter.encode_utf16(&mut [0; 2]) {
        // A string takes everything.
        let _ = write!(line, "\\u{unit:04x}");
    }
}

/// Whether a terminal or a reader of lines might take the character for a command or for the end of the line.
fn is_dangerous(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text as one word: as it is if it is plain, else in double quotes with backslash escapes. [`parse_line`] reads it
/// back.
pub(super) fn quoted(text: &str) -> String {
    let plain = |letter: char| !letter.is_whitespace() && !is_dangerous(letter) && !matches!(letter, '"' | '\\' | '=');
    // A line that begins with a brace would be read back as JSON.
    if !text.is_empty() && !text.starts_with('{') && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut word = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => word.extend(['\\', letter]),
            '\n' => word.push_str("\\n"),
            '\r' => word.push_str("\\r"),
            '\t' => word.push_str("\\t"),
            letter if is_dangerous(letter) => {
                let _ = write!(word, "\\u{{{:x}}}", u32::from(letter));
            }
            letter => word.push(letter),
        }
    }
    word.push('"');
    word
}

/// What a server or a file says, made fit for one line of a terminal and cut at `letters_max` characters.
pub(super) fn shown(text: &str, letters_max: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = words.chars().count() > letters_max;
    let kept = words.chars().take(letters_max).map(|letter| if is_dangerous(letter) { '\u{fffd}' } else { letter });
    kept.chain(cut.then_some('\u{2026}')).collect()
}

/// Splits `name=value`.
///
/// # Errors
///
/// If there is no `=` or no name, or the name is one that the tool sets itself.
pub(super) fn parse_field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{} is not name=value", quoted(text)))?;
    checked_name(name)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Of fields with the same name a server takes the first (rule P-2): who says one twice means something else.
///
/// # Errors
///
/// Which name is there twice.
pub(super) fn checked_fields(fields: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    let twice = fields.iter().enumerate().find(|(at, (name, _))| fields[..*at].iter().any(|(known, _)| known == name));
    match twice {
        Some((_, (name, _))) => Err(format!("the field {} is there twice", quoted(name))),
        None => Ok(fields),
    }
}

fn checked_name(name: &str) -> Result<(), String> {
    match name {
        "" => Err("a field has no name".to_owned()),
        "p_event" | "p_id" | "p_subject" | "p_to" => Err(format!("{name} is set by the command, not by a field")),
        _ => Ok(()),
    }
}

/// Reads one line of input: a JSON object, or words `name=value` whose names and values may be quoted as [`quoted`]
/// does.
///
/// # Errors
///
/// What is wrong with the line.
pub(super) fn parse_line(line: &str) -> Result<Vec<(String, String)>, String> {
    if line.trim_start().starts_with('{') {
        return parse_json_line(line);
    }
    let mut fields = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (name, behind) = parse_word(rest)?;
        let value = behind.strip_prefix('=').ok_or_else(|| format!("{} is not name=value", quoted(&name)))?;
        let (value, behind) = parse_word(value)?;
        if !behind.is_empty() && !behind.starts_with(char::is_whitespace) {
            return Err(format!("a blank is missing behind the value of {}", quoted(&name)));
        }
        checked_name(&name)?;
        fields.push((name, value));
        rest = behind.trim_start();
    }
    checked_fields(fields)
}

/// Reads one word and what is behind it: a quoted one to its quote, a plain name to its `=`, a plain value to the next
/// blank.
fn parse_word(text: &str) -> Result<(String, &str), String> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(|letter: char| letter.is_whitespace() || letter == '=').unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut word = String::new();
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((word, &inner[at + 1..])),
            '\\' => {
                let (_, escape) = letters.next().ok_or("a quote is not closed")?;
                match escape {
                    'n' => word.push('\n'),
                    'r' => word.push('\r'),
                    't' => word.push('\t'),
                    '"' | '\\' => word.push(escape),
                    'u' => {
                        let tail = letters.as_str();
                        let code = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
                        let letter =
                            code.and_then(|(code, _)| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
                        word.push(letter.ok_or("\\u{...} is not a character")?);
                        letters.by_ref().find(|(_, letter)| *letter == '}');
                    }
                    other => return Err(format!("\\{other} is not an escape")),
                }
            }
            letter => word.push(letter),
        }
    }
    Err("a quote is not closed".to_owned())
}

fn parse_json_line(line: &str) -> Result<Vec<(String, String)>, String> {
    use serde_json::Value;
    let object: serde_json::Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let fields = object.into_iter().map(|(name, value)| {
        checked_name(&name)?;
        let value = match value {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Ok((name, value))
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(fields: &[(&str, &str)]) -> Event {
        Event::new(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// P-34: a session's id is not shown.
    #[test]
    fn events_are_lines() {
        let event = event(&[
            ("p_from", "abc"),
            ("p_event", "data"),
            ("p_subject", "/a b"),
            ("x", "1"),
            ("say", "a \"b\"\n\u{1b}[2J"),
            ("p_id", "secret"),
            ("empty", ""),
        ]);
        assert_eq!(event.to_line(), r#""/a b" x=1 say="a \"b\"\n\u{1b}[2J" empty="" p_from=abc"#);
        assert_eq!(
            event.to_json(),
            r#"{"p_from":"abc","p_event":"data","p_subject":"/a b","x":"1","say":"a \"b\"\n\u001b[2J","empty":""}"#
        );
    }

    proptest! {
        #[test]
        fn lines_stay_lines_and_read_back(name in "[^p\\PC][^\\PC]{0,8}|\\PC{1,6}", value in any::<String>()) {
            prop_assume!(checked_name(&name).is_ok());
            let written = format!("{}={}", quoted(&name), quoted(&value));
            prop_assert!(!written.contains(is_dangerous));
            prop_assert_eq!(parse_line(&written), Ok(vec![(name.clone(), value.clone())]));
            let json = event(&[(&name, &value)]).to_json();
            prop_assert!(!json.contains(is_dangerous));
            let back: std::collections::BTreeMap<String, String> = serde_json::from_str(&json).expect("JSON");
            prop_assert_eq!(back.get(&name), Some(&value));
        }

        #[test]
        fn no_line_of_input_panics(line in any::<String>()) {
            let _ = parse_line(&line);
            let _ = parse_field(&line);
            let _ = shown(&line, 8);
        }
    }

    #[test]
    fn lines_of_input_are_read() {
        let pairs = |line: &str| parse_line(line).expect("fields");
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("  a=1  b=\"x y\"\tc= "), [field("a", "1"), field("b", "x y"), field("c", "")]);
        assert_eq!(
            pairs(r#"{"a":"1","b":2,"c":null,"d":[1,{}]}"#),
            [field("a", "1"), field("b", "2"), field("c", ""), field("d", "[1,{}]")]
        );
        for bad in [
            "a",
            "=1",
            "a=\"x",
            "a=\"x\"y",
            "a=\"\\x\"",
            "a=\"\\u{110000}\"",
            "{\"a\":",
            "p_event=x",
            "a=1 b=2 a=3",
            "{\"p_id\":\"1\"}",
        ] {
            assert!(parse_line(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_field("a=b=c d"), Ok(field("a", "b=c d")));
        assert!(parse_field("p_to=x").is_err());
    }

    #[test]
    fn foreign_text_is_cut_and_cleaned() {
        assert_eq!(shown("a\n\n b\u{1b}[31m", 20), "a b\u{fffd}[31m");
        assert_eq!(shown("abcdef", 3), "abc\u{2026}");
    }
}
