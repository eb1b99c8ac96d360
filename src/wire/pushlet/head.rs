//! The head of an answer with events.

use super::content_type;
use crate::protocol::Framing;
use crate::wire::http::{ReplyTo, ResponseHead};

/// What a document in format `js` may do: run the scripts that stand in it, as the format is made of them, and nothing else. Its reload runs from
/// a text given to `setTimeout`, as the original's, and that is what `unsafe-eval` is for. Nothing a publisher sends is code there (P-10).
const SCRIPT_POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; base-uri 'none'; form-action 'none'";

/// P-33: begins the answer to a control or data request: its media type, and that it is never stored.
pub fn answer_head<'a>(framing: Framing, out: &'a mut Vec<u8>, to: ReplyTo, date: &str) -> ResponseHead<'a> {
    let head = ResponseHead::new(out, to, 200, date).header("Content-Type", content_type(framing)).no_cache();
    match framing {
        // P-34: its address holds the session's id, and what it loads next must not be told it.
        Framing::Js => head.header("Content-Security-Policy", SCRIPT_POLICY).header("Referrer-Policy", "strict-origin"),
        _ => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{Body, Version};

    /// P-10, P-33: only the format that is made of scripts may run scripts, and it says so itself.
    #[test]
    fn the_script_format_brings_its_policy() {
        for framing in Framing::PUSHLET {
            let mut out = Vec::new();
            let to = ReplyTo { version: Version::Http11, keep_alive: true, to_head: false };
            let _ = answer_head(framing, &mut out, to, "D").finish(Body::Length(0));
            let text = String::from_utf8(out).expect("a head is text");
            assert_eq!(text.contains("Content-Security-Policy"), framing == Framing::Js, "{text}");
            assert!(text.contains("\r\nPragma: no-cache\r\n"), "{text}");
        }
    }
}
