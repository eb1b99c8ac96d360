//! What a client offers in `Sec-WebSocket-Extensions` (RFC 6455 section 9.1, RFC 7692 section 7.1).

use crate::protocol::Problem;
use crate::wire::http::is_token;

const NAME: &str = "permessage-deflate";
/// What is always answered: neither side keeps anything from one message to the next (RFC 7692 section 7.1.1).
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const ANSWER_WITH_WINDOW: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

/// An offer of compression that can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// It names the server's window, and it is the largest.
    pub(super) names_window: bool,
}

/// The value of `Sec-WebSocket-Extensions` in the answer.
pub(super) const fn answer(names_window: bool) -> &'static str {
    if names_window { ANSWER_WITH_WINDOW } else { ANSWER }
}

/// The first offer of permessage-deflate that can be taken. Offers of other extensions and with parameters that are not known or do not fit are
/// passed by (RFC 7692 section 7.1.2).
///
/// # Errors
///
/// A 400 if the value is no list of extensions (RFC 6455 section 9.1).
pub(super) fn offer(value: &str) -> Result<Option<Offer>, Problem> {
    let mut found = None;
    for extension in split(value, b',') {
        let extension = extension.trim_matches([' ', '\t']);
        // RFC 9110 section 5.6.1: empty elements of a list are no elements.
        if extension.is_empty() {
            continue;
        }
        let offer = read(extension).ok_or_else(|| {
            Problem::field(
                "Sec-WebSocket-Extensions",
                "Sec-WebSocket-Extensions is not a list of extensions with parameters.",
            )
        })?;
        found = found.or(offer);
    }
    Ok(found)
}

/// One extension: the offer in it, if it is one that can be taken. The outer `None`: it breaks the grammar.
fn read(extension: &str) -> Option<Option<Offer>> {
    let mut parts = split(extension, b';').map(|part| part.trim_matches([' ', '\t']));
    let name = parts.next().filter(|name| is_word(name))?;
    let mut parameters = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => {
                (name.trim_end_matches([' ', '\t']), Some(unquoted(value.trim_start_matches([' ', '\t']))?))
            }
            None => (part, None),
        };
        if !is_word(name) {
            return None;
        }
        parameters.push((name, value));
    }
    Some(if name.eq_ignore_ascii_case(NAME) { judge(&parameters) } else { None })
}

/// RFC 7692 section 7.1: an offer with an unknown parameter, with one twice or with an invalid value is not taken; neither is one that wants the
/// server's window smaller than it is.
fn judge(parameters: &[(&str, Option<String>)]) -> Option<Offer> {
    let mut offer = Offer { names_window: false };
    for (index, (name, value)) in parameters.iter().enumerate() {
        if parameters[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return None;
        }
        match (name.to_ascii_lowercase().as_str(), value.as_deref()) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            // What the client may use at most. Inflation takes every window there is.
            ("client_max_window_bits", Some("8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")) => {}
            ("server_max_window_bits", Some("15")) => offer.names_window = true,
            _ => return None,
        }
    }
    Some(offer)
}

/// Splits at `separator` outside of quoted strings.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter: char| {
        let was_escaped = std::mem::take(&mut escaped);
        match letter {
            '\\' if quoted && !was_escaped => escaped = true,
            '"' if !was_escaped => quoted = !quoted,
            _ => {}
        }
        !quoted && letter == char::from(separator)
    })
}

/// The value of a parameter: a token, or a quoted string that is one inside (RFC 6455 section 9.1).
fn unquoted(value: &str) -> Option<String> {
    let Some(inside) = value.strip_prefix('"') else { return is_word(value).then(|| value.to_owned()) };
    let inside = inside.strip_suffix('"')?;
    let mut word = String::with_capacity(inside.len());
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        word.push(if letter == '\\' { letters.next()? } else { letter });
    }
    is_word(&word).then_some(word)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token)
}
