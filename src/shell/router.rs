//! Which request is for whom. Pure: a request in, a command or an answer out.

use std::sync::Arc;

use crate::protocol::{Agent, Command, Format, Framing};
use crate::wire::http::{self, Body, HttpRequest, Method, ReplyTo, ResponseHead};
use crate::wire::pushlet;

/// What the router needs of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    /// P-33: pages that may use the server; `*` is every page.
    pub(super) allow_origins: Vec<String>,
    /// P-18: lower-cased parts of User-Agents that are made to pull.
    pub(super) force_pull_agents: Vec<String>,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Route {
    /// To the broker.
    Command { command: Command, agent: Agent, path: Arc<str> },
    /// Nowhere: this is its answer, whole. `refused` if it is an error.
    Answer { bytes: Vec<u8>, keep_alive: bool, refused: bool },
}

const METHODS: &str = "GET, HEAD, POST, OPTIONS";
const METHODS_TOLD: &str = "This URL takes GET, HEAD, POST and OPTIONS.";
/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_MAX_AGE: &str = "600";

impl Routes {
    /// P-1, P-4: decides where `request` goes. `date` is the value of the `Date` header.
    pub(super) fn route(&self, request: &HttpRequest, date: &str, unix_s: u64) -> Route {
        let head = &request.head;
        let reply = ReplyTo::from(head);
        let pushlet_url = pushlet::is_pushlet_path(&head.path);
        if head.raw_target && !pushlet_url {
            return text(reply, date, 400, "The target of the request holds bytes that must be percent-encoded.");
        }
        match head.method {
            Method::Options if pushlet_url || matches!(head.path.as_str(), "/" | "*") => {
                self.options(request, reply, date)
            }
            Method::Options => page(Method::Options, &head.path, reply, date),
            _ if !pushlet_url => page(head.method, &head.path, reply, date),
            Method::Other => text(reply, date, 405, METHODS_TOLD),
            Method::Head => {
                let mut bytes = Vec::with_capacity(512);
                let content_type = pushlet::content_type(wanted_framing(&head.query));
                let empty =
                    ResponseHead::new(&mut bytes, reply, 200, date).header("Content-Type", content_type).no_cache();
                let sent = self.cross_origin(empty, head.origin.as_deref()).finish(Body::Length(0));
                Route::Answer { bytes, keep_alive: sent.keep_alive, refused: false }
            }
            Method::Get | Method::Post => self.command(request, reply, date, unix_s),
        }
    }

    fn command(&self, request: &HttpRequest, reply: ReplyTo, date: &str, unix_s: u64) -> Route {
        let head = &request.head;
        let incoming = pushlet::Incoming {
            post: head.method == Method::Post,
            path: &head.path,
            query: &head.query,
            body: &request.body,
            user_agent: head.user_agent.as_deref(),
            force_pull_agents: &self.force_pull_agents,
        };
        match pushlet::read(&incoming, unix_s) {
            Ok((command, agent)) => Route::Command { command, agent, path: Arc::from(head.path.as_str()) },
            Err(error) => text(reply, date, error.status, &error.reason),
        }
    }

    /// P-4: `OPTIONS`: what is allowed, and the preflight of CORS.
    fn options(&self, request: &HttpRequest, reply: ReplyTo, date: &str) -> Route {
        let head = &request.head;
        let mut bytes = Vec::with_capacity(512);
        let mut answer = ResponseHead::new(&mut bytes, reply, 204, date).header("Allow", METHODS);
        if head.access_control_request_method.is_some() && self.allows(head.origin.as_deref()) {
            answer = answer
                .header("Access-Control-Allow-Methods", "GET, HEAD, POST")
                .header("Access-Control-Max-Age", PREFLIGHT_MAX_AGE);
            if let Some(names) = head.access_control_request_headers.as_deref() {
                answer = answer.header("Access-Control-Allow-Headers", names);
            }
        }
        let sent = self.cross_origin(answer, head.origin.as_deref()).finish(Body::Length(0));
        Route::Answer { bytes, keep_alive: sent.keep_alive, refused: false }
    }

    /// P-33: whether a page of `origin` may use the server.
    pub(super) fn allows(&self, origin: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.allow_origins.iter().any(|allowed| allowed == "*" || allowed == origin))
    }

    /// P-33: says so to its browser.
    pub(super) fn cross_origin<'a>(&self, answer: ResponseHead<'a>, origin: Option<&str>) -> ResponseHead<'a> {
        match origin {
            Some(page) if self.allows(origin) => {
                answer.header("Access-Control-Allow-Origin", page).header("Vary", "Origin")
            }
            _ if self.allow_origins.is_empty() => answer,
            _ => answer.header("Vary", "Origin"),
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

/// Everything that is not the Pushlet URL: the front page says what to try.
fn page(method: Method, path: &str, reply: ReplyTo, date: &str) -> Route {
    match (method, path) {
        (Method::Get | Method::Head, "/") => text(reply, date, 200, FRONT_PAGE),
        (_, "/") => text(reply, date, 405, METHODS_TOLD),
        _ => text(
            reply,
            date,
            404,
            "There is nothing at this URL. The Pushlet protocol is at every URL that ends in /pushlet.srv.",
        ),
    }
}

const FRONT_PAGE: &str = "pushletd is running. Open a stream, then publish to it from a second terminal:\n\n\
    curl -N 'http://HOST/pushlet.srv?p_event=join-listen&p_subject=/hello&p_format=json'\n\n\
    pushletd pub http://HOST/ /hello text=world\n";
