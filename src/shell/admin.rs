//! The admin port: is it alive, is it ready, what has it counted? For operations, on loopback; nothing here changes anything.

use super::router::Route;
use crate::metrics::{self, Node};
use crate::wire::http::{self, Body, HttpRequest, Method, ReplyTo, ResponseHead};

/// Answers a request to the admin port. `node` is asked only for the metrics.
pub(super) fn route<'a>(request: &HttpRequest, date: &str, draining: bool, node: impl FnOnce() -> Node<'a>) -> Route {
    let reply = ReplyTo::from(&request.head);
    let mut bytes = Vec::with_capacity(512);
    let mut text = |status, told| http::write_text(&mut bytes, reply, status, told, date);
    let (sent, refused) = match (request.head.method, &*request.head.path) {
        (Method::Get | Method::Head, "/healthz") => (text(200, "ok"), false),
        (Method::Get | Method::Head, "/readyz") if draining => (text(503, "draining"), false),
        (Method::Get | Method::Head, "/readyz") => (text(200, "ready"), false),
        (Method::Get | Method::Head, "/metrics") => {
            let page = metrics::render(&node());
            let sent = ResponseHead::new(&mut bytes, reply, 200, date)
                .header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
                .header("Cache-Control", "no-store")
                .finish(Body::Length(page.len() as u64));
            if sent.content {
                bytes.extend_from_slice(page.as_bytes());
            }
            (sent, false)
        }
        (_, "/healthz" | "/readyz" | "/metrics") => {
            (http::write_refusal(&mut bytes, reply, "GET, HEAD", "The admin port takes GET and HEAD.", date), true)
        }
        _ => (text(404, "The admin port has /healthz, /readyz and /metrics."), true),
    };
    Route::Answer { bytes, keep_alive: sent.keep_alive, refused }
}
