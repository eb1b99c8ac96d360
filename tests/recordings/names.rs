//! Who is who: what the recording calls something, and what the server calls it this time.

use std::collections::BTreeMap;

use super::support::pushlet::Event;

/// The names that a replay has learned from the acks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Recorded session id to the server's session id and its address (rule P-22); the address is empty if none was
    /// told.
    pub(crate) sessions: BTreeMap<String, (String, String)>,
    /// Recorded session id and recorded subscription id to the server's subscription id.
    pub(crate) subscriptions: BTreeMap<(String, String), String>,
}

impl Names {
    /// Takes the ids out of the acks that both sides gave.
    pub(crate) fn learn(&mut self, session: Option<&str>, recorded: &[Event], ours: &[Event]) {
        let acks = ["join-ack", "join-listen-ack", "listen-ack", "subscribe-ack"];
        let (Some(recorded), Some(ours)) = (recorded.first(), ours.first()) else { return };
        if recorded.kind() != ours.kind() || !acks.contains(&recorded.kind()) {
            return;
        }
        if let (true, Some(known), Some(new)) =
            (recorded.kind().starts_with("join"), recorded.get("p_id"), ours.get("p_id"))
        {
            let address = ours.get("p_from").unwrap_or_default().to_owned();
            self.sessions.entry(known.to_owned()).or_insert_with(|| (new.to_owned(), address));
        }
        if let (Some(session), Some(known), Some(new)) = (session, recorded.get("p_sid"), ours.get("p_sid")) {
            self.subscriptions.entry((session.to_owned(), known.to_owned())).or_insert_with(|| new.to_owned());
        }
    }

    /// The recorded request of a session with the server's own ids in it.
    pub(crate) fn rewrite(&self, request: &[u8], of_session: Option<&str>) -> Vec<u8> {
        let mut ours = request.to_vec();
        for ((session, known), new) in &self.subscriptions {
            if of_session == Some(session) {
                ours = replace(&ours, format!("p_sid={known}").as_bytes(), format!("p_sid={new}").as_bytes());
            }
        }
        for (known, (new, _)) in &self.sessions {
            ours = replace(&ours, known.as_bytes(), new.as_bytes());
        }
        let length = |text: &[u8]| {
            let body = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |end| text.len() - end - 4);
            format!("Content-Length: {body}\r\n").into_bytes()
        };
        replace(&ours, &length(request), &length(&ours))
    }

    /// The recording's name for one of the server's session ids, wherever it stands in the text.
    pub(crate) fn recorded(&self, text: &str) -> String {
        self.sessions.iter().fold(text.to_owned(), |text, (known, (new, _))| text.replace(new.as_str(), known))
    }

    /// The recording's name for one of the server's subscription ids in a session.
    pub(crate) fn recorded_sid(&self, session: &str, sid: &str) -> Option<&str> {
        let mut known = self.subscriptions.iter();
        known.find(|((of, _), new)| of == session && *new == sid).map(|((_, recorded), _)| recorded.as_str())
    }
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[test]
fn ids_are_put_into_requests() {
    let mut names = Names::default();
    names.sessions.insert("wezudomyhu".to_owned(), ("LIVE".to_owned(), String::new()));
    names.subscriptions.insert(("wezudomyhu".to_owned(), "abcde".to_owned()), "7".to_owned());
    let rewrite = |request: &[u8]| names.rewrite(request, Some("wezudomyhu"));
    let get = b"GET /p?p_event=unsubscribe&p_id=wezudomyhu&p_sid=abcde&x=abcde HTTP/1.1\r\n\r\n";
    assert_eq!(rewrite(get), b"GET /p?p_event=unsubscribe&p_id=LIVE&p_sid=7&x=abcde HTTP/1.1\r\n\r\n");
    let post = b"POST /p HTTP/1.1\r\nContent-Length: 26\r\n\r\n<event p_id=\"wezudomyhu\"/>";
    assert_eq!(rewrite(post), b"POST /p HTTP/1.1\r\nContent-Length: 20\r\n\r\n<event p_id=\"LIVE\"/>");
}
