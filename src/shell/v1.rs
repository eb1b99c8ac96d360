//! The modern doors: which request below `/v1/` is what. Pure, like the router that it belongs to.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::router::{Route, Routes};
use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::protocol::{
    Agent, ClaimedId, Command, Door, Framing, IdempotencyKey, Identity, Item, Payload, Post, Problem, Publication,
    SessionId,
};
use crate::wire::http::{Body, HttpRequest, Method, ReplyTo, RequestHead, Sent};
use crate::wire::v1::{self, Query};
use crate::wire::ws::{self, Upgrade};

const LISTEN_METHODS: &str = "GET, HEAD, OPTIONS";
const SOCKET_METHODS: &str = "GET, OPTIONS";
const PUBLISH_METHODS: &str = "POST, OPTIONS";

const NOTHING_HERE: &str = "There is nothing at this URL. The doors are /v1/sse, /v1/ws, /v1/poll, /v1/publish, /v1/subscribe and /v1/unsubscribe, in small letters and without a slash at the end.";

/// What a URL is for.
#[derive(Clone, Copy)]
enum Url {
    Sse,
    Socket,
    Poll,
    Publish,
    Subscribe,
    Unsubscribe,
}

impl Url {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/sse" => Some(Self::Sse),
            "/v1/ws" => Some(Self::Socket),
            "/v1/subscribe" => Some(Self::Subscribe),
            "/v1/unsubscribe" => Some(Self::Unsubscribe),
            "/v1/poll" => Some(Self::Poll),
            "/v1/publish" => Some(Self::Publish),
            _ => None,
        }
    }

    const fn methods(self) -> &'static str {
        match self {
            Self::Sse | Self::Poll => LISTEN_METHODS,
            Self::Socket => SOCKET_METHODS,
            Self::Publish | Self::Subscribe | Self::Unsubscribe => PUBLISH_METHODS,
        }
    }

    const fn framing(self) -> Framing {
        match self {
            Self::Sse => Framing::EventStream,
            _ => Framing::Object,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            _ => "application/json",
        }
    }
}

impl Routes {
    /// Decides where a request below `/v1/` goes.
    pub(super) fn v1(&self, request: &HttpRequest, reply: ReplyTo, date: &str) -> Route {
        let head = &request.head;
        let Some(url) = Url::of(&head.path) else {
            return self.problem(head, reply, date, &Problem::new(404, NOTHING_HERE));
        };
        match (url, head.method) {
            (_, Method::Options) => self.preflight(head, reply, date, url.methods()),
            (Url::Socket, Method::Get) => match self.upgrade(request) {
                Err(problem) => self.problem(head, reply, date, &problem),
                Ok((command, agent, upgrade)) => {
                    Route::Upgrade { command, agent, path: Arc::clone(&head.path), upgrade: Box::new(upgrade) }
                }
            },
            (Url::Sse | Url::Poll, Method::Get | Method::Head)
            | (Url::Publish | Url::Subscribe | Url::Unsubscribe, Method::Post) => match self.read(url, request) {
                Err(problem) => self.problem(head, reply, date, &problem),
                Ok(_) if head.method == Method::Head => self.empty(url, head, reply, date),
                Ok((command, identity)) => {
                    let agent = Agent { identity, ..Agent::default() };
                    Route::Command { command, agent, path: Arc::clone(&head.path) }
                }
            },
            _ => {
                let mut bytes = Vec::with_capacity(512);
                let extra = self.cross_origin_fields(head.origin.as_deref());
                let sent = v1::problem_405(&mut bytes, reply, url.methods(), date, &extra);
                refused(bytes, sent)
            }
        }
    }

    fn read(&self, url: Url, request: &HttpRequest) -> Result<(Command, Identity), Problem> {
        let head = &request.head;
        let query = self.check_head(url, head)?;
        let identity = self.identity(head, &query)?;
        let command = match url {
            Url::Sse => {
                let opening = v1::opening(Door::EventStream, &query, head.last_event_id.as_deref())?;
                Command::Open(Box::new(opening))
            }
            Url::Poll | Url::Socket => v1::poll(&query)?,
            Url::Subscribe => v1::amendment(&query, true)?,
            Url::Unsubscribe => v1::amendment(&query, false)?,
            Url::Publish => {
                let mut post = post(request, &query, identity)?;
                self.keep_secrets(&mut post.items);
                Command::Post(Box::new(post))
            }
        };
        Ok((command, identity))
    }

    /// RFC 6455 section 4.2: the handshake of a WebSocket, and with what its session begins.
    fn upgrade(&self, request: &HttpRequest) -> Result<(Command, Agent, Upgrade), Problem> {
        let head = &request.head;
        self.check_origin(head)?;
        let upgrade = ws::upgrade(head, self.ws_deflate)?;
        let query = Query::read(&head.query)?;
        let identity = self.identity(head, &query)?;
        let opening = v1::opening(Door::WebSocket { deflate: upgrade.deflate }, &query, None)?;
        Ok((Command::Open(Box::new(opening)), Agent { identity, ..Agent::default() }, upgrade))
    }

    /// Refuses items whose fields hold the secret of a key under its usual name: everybody would get it.
    pub(super) fn keep_secrets(&self, items: &mut [Item]) {
        for item in items {
            let holds_secret = matches!(item, Ok(Publication { payload: Payload::Fields(fields), .. })
                if self.is_secret(fields.get("key")));
            if holds_secret {
                let detail = "The field key holds the secret of a key, and everybody would get it: it belongs into Authorization or \
                    the query.";
                *item = Err(Problem::field("key", detail));
            }
        }
    }

    /// What holds for all doors: whose page asks, and what answer it takes.
    fn check_head(&self, url: Url, head: &RequestHead) -> Result<Query, Problem> {
        self.check_origin(head)?;
        let has_content = !matches!(url, Url::Subscribe | Url::Unsubscribe);
        if has_content && !v1::accepts(head.accept.as_deref(), url.media_type()) {
            let detail = format!("The answer is {}, and Accept does not take that.", url.media_type());
            return Err(Problem::field("Accept", detail).status(406));
        }
        Query::read(&head.query)
    }

    /// The head that a GET would be answered with.
    fn empty(&self, url: Url, head: &RequestHead, reply: ReplyTo, date: &str) -> Route {
        let mut bytes = Vec::with_capacity(512);
        let answer = v1::answer_head(url.framing(), &mut bytes, reply, date);
        let sent = self.cross_origin(answer, head.origin.as_deref()).finish(Body::Stream);
        Route::Answer { bytes, keep_alive: sent.keep_alive, refused: false }
    }

    fn problem(&self, head: &RequestHead, reply: ReplyTo, date: &str, problem: &Problem) -> Route {
        let mut bytes = Vec::with_capacity(512);
        let extra = self.cross_origin_fields(head.origin.as_deref());
        let sent = v1::problem(&mut bytes, reply, problem, date, &extra);
        refused(bytes, sent)
    }

    /// A page of another site can neither publish nor listen, unless it is allowed to (P-33). Programs that are no browsers send no `Origin`.
    fn check_origin(&self, head: &RequestHead) -> Result<(), Problem> {
        let Some(origin) = head.origin.as_deref() else {
            // Images, scripts and frames of other sites: their pages cannot read the answer, but each would be a session.
            let foreign = matches!(head.fetch_site.as_deref(), Some("cross-site" | "same-site"));
            let detail = "A page of another site asks, and without Origin the server cannot tell whether it may: use fetch or EventSource.";
            return if foreign { Err(Problem::field("Sec-Fetch-Site", detail).status(403)) } else { Ok(()) };
        };
        if self.allows(Some(origin)) || is_own(origin, head.host.as_deref()) {
            return Ok(());
        }
        let detail = "Pages of this origin may not use the server: allow_origins does not name it. If it is the server's own, a \
            proxy between them changes Host: let it pass Host on.";
        Err(Problem::field("Origin", detail).status(403))
    }

    /// Whose key the request presents.
    fn identity(&self, head: &RequestHead, query: &Query) -> Result<Identity, Problem> {
        let found = self.keyring.identify(head.authorization.as_deref(), query.get("key"));
        found.map_err(|unknown| Problem::field("Authorization", format!("{unknown}.")).status(401))
    }
}

/// Who sends a body of lines.
#[derive(Clone, Debug)]
pub(super) struct Uploader {
    pub(super) identity: Identity,
    pub(super) path: Arc<str>,
    /// The page that sends it (CORS).
    pub(super) origin: Option<Box<str>>,
}

/// Whether a request brings lines that are published as they come.
pub(super) fn streams(head: &RequestHead) -> bool {
    head.method == Method::Post
        && *head.path == *"/v1/publish"
        && head.says_length
        && v1::is_lines(head.content_type.as_deref(), &head.query)
}

impl Routes {
    /// Who sends a body of lines, or the answer if it is not taken.
    pub(super) fn upload(&self, head: &RequestHead, date: &str) -> Result<Uploader, Vec<u8>> {
        let reply = ReplyTo { keep_alive: false, ..ReplyTo::from(head) };
        let checked = self.check_head(Url::Publish, head).and_then(|query| {
            check_body(head)?;
            v1::Body::of(head.content_type.as_deref(), &query)?;
            if query.get("session").is_some() {
                return Err(Problem::field("session", "Lines are published by nobody: leave session out."));
            }
            if head.idempotency_key.is_some() {
                let detail = "Lines are published as they come, so a key cannot make them come once: leave it out.";
                return Err(Problem::field("Idempotency-Key", detail));
            }
            self.identity(head, &query)
        });
        match checked {
            Err(problem) => {
                let mut bytes = Vec::with_capacity(512);
                let extra = self.cross_origin_fields(head.origin.as_deref());
                let _ = v1::problem(&mut bytes, reply, &problem, date, &extra);
                Err(bytes)
            }
            Ok(identity) => {
                let origin = head.origin.as_deref().map(Box::from);
                Ok(Uploader { identity, path: Arc::clone(&head.path), origin })
            }
        }
    }
}

fn refused(bytes: Vec<u8>, sent: Sent) -> Route {
    Route::Answer { bytes, keep_alive: sent.keep_alive, refused: true }
}

/// Whether a page of `origin` came from the host that it asks now. The scheme is not looked at: behind a proxy that speaks TLS it differs.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Some((scheme, authority)), Some(host)) = (origin.split_once("://"), host) else { return false };
    let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let plain = |authority: &str| authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase();
    !authority.is_empty() && plain(authority) == plain(host)
}

/// Reads a whole publish request.
fn post(request: &HttpRequest, query: &Query, identity: Identity) -> Result<Post, Problem> {
    let head = &request.head;
    check_body(head)?;
    let content_type = head.content_type.as_deref();
    let kind = v1::Body::of(content_type, query)?;
    let (items, list) = v1::read(kind, query, content_type, &request.body)?;
    if items.is_empty() {
        return Err(Problem::field("body", "The body is empty: there is nothing to publish."));
    }
    let key = head.idempotency_key.as_deref().map(|text| idempotency_key(text, request, identity)).transpose()?;
    let publisher = publisher(query)?;
    if publisher.is_some() && key.is_some() {
        let detail = "A request is published by a session or once for a key, not both: leave out either.";
        return Err(Problem::field("Idempotency-Key", detail));
    }
    Ok(Post { items, list, key, publisher })
}

/// The session that publishes, if the request names one: its events then tell its address.
fn publisher(query: &Query) -> Result<Option<SessionId>, Problem> {
    match query.get("session").map(|text| ClaimedId::from_field(Some(text))) {
        None => Ok(None),
        Some(ClaimedId::WellFormed(id)) => Ok(Some(id)),
        Some(_) => Err(Problem::field("session", "This is no session's name.").status(404)),
    }
}

fn check_body(head: &RequestHead) -> Result<(), Problem> {
    if !head.says_length {
        let detail =
            "The request does not say how long its body is: it needs Content-Length, or Transfer-Encoding: chunked.";
        return Err(Problem::field("Content-Length", detail).status(411));
    }
    if head.content_encoding.as_deref().is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        let detail = "The body must not be compressed.";
        return Err(Problem::field("Content-Encoding", detail).status(415));
    }
    Ok(())
}

fn idempotency_key(text: &str, request: &HttpRequest, identity: Identity) -> Result<IdempotencyKey, Problem> {
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len());
    if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = format!("An idempotency key is 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters.");
        return Err(Problem::field("Idempotency-Key", detail).limit(IDEMPOTENCY_KEY_BYTES_MAX));
    }
    let text: Arc<str> = Arc::from(format!("{} {text}", identity.number()));
    let (mut hash, mut fingerprint) = (DefaultHasher::new(), DefaultHasher::new());
    text.hash(&mut hash);
    (&request.head.query, &request.head.content_type, &request.body).hash(&mut fingerprint);
    Ok(IdempotencyKey { text, fingerprint: fingerprint.finish(), hash: hash.finish(), is_known: identity.is_known() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_server_itself_is_known_by_its_host() {
        for (origin, host) in [
            ("http://example.org", "example.org"),
            ("http://example.org", "Example.org:80"),
            ("https://example.org", "example.org"),
            ("https://example.org", "example.org:443"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_own(origin, Some(host)), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "example.org"),
            ("http://example.org.evil", "example.org"),
            ("http://example.org:8080", "example.org"),
            ("http://evil", "example.org"),
            ("http://", ""),
            ("file://", ""),
        ] {
            assert!(!is_own(origin, Some(host)), "{origin} {host}");
        }
        assert!(!is_own("http://example.org", None));
    }
}
