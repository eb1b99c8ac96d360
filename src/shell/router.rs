//! Which request is for whom. Pure: a request in, a command or an answer out.

use std::sync::Arc;

use super::pages::Pages;
use crate::auth::Keyring;
use crate::protocol::{Agent, Command, Format, Framing, Identity};
use crate::wire::http::{self, Body, HttpRequest, Method, ReplyTo, RequestHead, ResponseHead};
use crate::wire::ws::Upgrade;
use crate::wire::{pushlet, v1};

/// What the router needs of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    /// P-33: pages that may use the server; `*` is every page.
    pub(super) allow_origins: Vec<String>,
    /// P-18: lower-cased parts of User-Agents that are made to pull.
    pub(super) force_pull_agents: Vec<String>,
    /// Whose the keys are that requests present.
    pub(super) keyring: Arc<Keyring>,
    /// What browsers fetch besides events.
    pub(super) pages: Arc<Pages>,
    /// Whether the demo pages are served.
    pub(super) demo: bool,
    /// Whether clients may have compressed messages (RFC 7692).
    pub(super) ws_deflate: bool,
    /// Longest message of a WebSocket, in bytes; its frames have the same bound.
    pub(super) ws_message_max: u32,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Route {
    /// To the broker.
    Command { command: Command, agent: Agent, path: Arc<str> },
    /// To the broker, and if a session begins the connection becomes a WebSocket.
    Upgrade { command: Command, agent: Agent, path: Arc<str>, upgrade: Box<Upgrade> },
    /// Nowhere: this is its answer, whole. `refused` if it is an error.
    Answer { bytes: Vec<u8>, keep_alive: bool, refused: bool },
}

const METHODS: &str = "GET, HEAD, POST, OPTIONS";
const METHODS_TOLD: &str = "This URL takes GET, HEAD, POST and OPTIONS.";
/// What pages of allowed origins may read of an answer's head beside what all may.
const EXPOSED: &str = "Retry-After, Idempotent-Replayed";
/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_MAX_AGE: &str = "600";

impl Routes {
    /// P-1, P-4: decides where `request` goes. `date` is the value of the `Date` header.
    pub(super) fn route(&self, request: &HttpRequest, date: &str) -> Route {
        let head = &request.head;
        let reply = ReplyTo::from(head);
        let pushlet_url = pushlet::is_pushlet_path(&head.path);
        let is_v1 = !pushlet_url && (head.path.starts_with("/v1/") || *head.path == *"/v1");
        if is_v1 {
            return self.v1(request, reply, date);
        }
        if head.raw_target && !pushlet_url {
            return text(reply, date, 400, "The target of the request holds bytes that must be percent-encoded.");
        }
        // `*` is a target of OPTIONS alone.
        if !pushlet_url && *head.path != *"*" {
            return self.page(head, reply, date);
        }
        match head.method {
            Method::Options => self.options(head, reply, date),
            Method::Other => refuse(reply, date),
            Method::Head => {
                let mut bytes = Vec::with_capacity(512);
                let empty = pushlet::answer_head(wanted_framing(&head.query), &mut bytes, reply, date);
                let sent = self.cross_origin(empty, head.origin.as_deref()).finish(Body::Length(0));
                Route::Answer { bytes, keep_alive: sent.keep_alive, refused: false }
            }
            Method::Get | Method::Post => self.command(request, reply, date),
        }
    }

    fn command(&self, request: &HttpRequest, reply: ReplyTo, date: &str) -> Route {
        let head = &request.head;
        let incoming = pushlet::Incoming {
            post: head.method == Method::Post,
            path: &head.path,
            query: &head.query,
            body: &request.body,
            user_agent: head.user_agent.as_deref(),
            force_pull_agents: &self.force_pull_agents,
        };
        match pushlet::read(&incoming) {
            Ok((command, agent)) => {
                // What a key may do is judged with the command; one that nobody knows may do what anybody may.
                let presented = if self.keyring.is_empty() { None } else { v1::first(&head.query, "p_key") };
                let identity = self.keyring.identify(head.authorization.as_deref(), presented.as_deref());
                if let Command::Publish { fields, .. } = &command
                    && self.is_secret(fields.get("key"))
                {
                    return text(
                        reply,
                        date,
                        400,
                        "The field key holds the secret of a key, and everybody would get it: call it p_key.",
                    );
                }
                let agent = Agent { identity: identity.unwrap_or(Identity::UNKNOWN), ..agent };
                Route::Command { command, agent, path: Arc::clone(&head.path) }
            }
            Err(error) => text(reply, date, error.status, &error.reason),
        }
    }

    /// Whether somebody is about to publish the secret of a key.
    pub(super) fn is_secret(&self, value: Option<&str>) -> bool {
        !self.keyring.is_empty() && value.is_some_and(|value| self.keyring.find(value.as_bytes()).is_ok())
    }

    /// P-4: `OPTIONS`: what is allowed, and the preflight of CORS.
    fn options(&self, head: &RequestHead, reply: ReplyTo, date: &str) -> Route {
        self.preflight(head, reply, date, METHODS)
    }

    pub(super) fn preflight(&self, head: &RequestHead, reply: ReplyTo, date: &str, methods: &'static str) -> Route {
        let mut bytes = Vec::with_capacity(512);
        let mut answer = ResponseHead::new(&mut bytes, reply, 204, date).header("Allow", methods);
        if head.access_control_request_method.is_some() && self.allows(head.origin.as_deref()) {
            answer = answer
                .header("Access-Control-Allow-Methods", methods.strip_suffix(", OPTIONS").unwrap_or(methods))
                .header("Access-Control-Max-Age", PREFLIGHT_MAX_AGE);
            if let Some(names) = head.access_control_request_headers.as_deref() {
                answer = answer.header("Access-Control-Allow-Headers", names);
            }
        }
        let sent = self.cross_origin(answer, head.origin.as_deref()).finish(Body::Length(0));
        Route::Answer { bytes, keep_alive: sent.keep_alive, refused: false }
    }

    /// Everything that is not the Pushlet URL: a page, or the hint what to try.
    fn page(&self, head: &RequestHead, reply: ReplyTo, date: &str) -> Route {
        if let Some(answer) = self.pages.route(head, date, self.demo) {
            return answer;
        }
        match (head.method, &*head.path) {
            (Method::Get | Method::Head, "/") => text(reply, date, 200, FRONT_PAGE),
            (Method::Options, "/") => self.options(head, reply, date),
            (_, "/") => refuse(reply, date),
            _ => text(reply, date, 404, NOTHING_HERE),
        }
    }

    /// P-33: whether a page of `origin` may use the server.
    pub(super) fn allows(&self, origin: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.allow_origins.iter().any(|allowed| allowed == "*" || allowed == origin))
    }

    /// P-33: says so to its browser.
    pub(super) fn cross_origin<'a>(&self, answer: ResponseHead<'a>, origin: Option<&str>) -> ResponseHead<'a> {
        self.cross_origin_fields(origin).iter().fold(answer, |answer, (name, value)| answer.header(name, value))
    }

    /// P-33: what an answer says to the browser of a page of `origin`.
    pub(super) fn cross_origin_fields<'a>(&self, origin: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
        let vary = ("Vary", "Origin");
        match origin {
            Some(page) if self.allows(origin) => {
                vec![("Access-Control-Allow-Origin", page), ("Access-Control-Expose-Headers", EXPOSED), vary]
            }
            _ if self.allow_origins.is_empty() => Vec::new(),
            _ => vec![vary],
        }
    }
}

/// P-4: the layout that a GET with this query would be answered in, as far as the query tells.
fn wanted_framing(query: &[u8]) -> Framing {
    let wanted = pushlet::query_fields(query).ok().and_then(|fields| Format::from_name(fields.get("p_format")?));
    Framing::of(wanted.unwrap_or_default(), false, false)
}

fn text(reply: ReplyTo, date: &str, status: u16, told: &str) -> Route {
    let mut bytes = Vec::with_capacity(512);
    let sent = http::write_text(&mut bytes, reply, status, told, date);
    Route::Answer { bytes, keep_alive: sent.keep_alive, refused: status >= 400 }
}

/// P-4: a method that is not served.
fn refuse(reply: ReplyTo, date: &str) -> Route {
    let mut bytes = Vec::with_capacity(512);
    let sent = http::write_refusal(&mut bytes, reply, METHODS, METHODS_TOLD, date);
    Route::Answer { bytes, keep_alive: sent.keep_alive, refused: true }
}

const NOTHING_HERE: &str = "There is nothing at this URL. The Pushlet protocol is at every URL that ends in /pushlet.srv, its browser clients are below /lib/.";
/// What is at `/` where the demo pages are off.
const FRONT_PAGE: &str = "pushletd is running. Open a stream, then publish to it from a second terminal:\n\n\
    curl -N 'http://HOST/pushlet.srv?p_event=join-listen&p_subject=/hello&p_format=json'\n\n\
    pushletd pub http://HOST/ /hello text=world\n";
