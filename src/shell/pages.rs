//! What browsers fetch besides events: the browser clients and the demo pages. All of it is inside the program and read once at the start, so
//! that a core never waits for a file.

use std::borrow::Cow;
use std::collections::HashMap;

use rust_embed::Embed;

use super::router::Route;
use crate::wire::http::{self, Body, Method, ReplyTo, RequestHead, ResponseHead, Sent};

/// The files of `clients/` that are served. A debug build reads them from the source tree each time the program starts.
#[derive(Embed)]
#[folder = "clients/"]
#[include = "index.html"]
#[include = "classic/*"]
#[include = "modern/*"]
#[include = "demo/*"]
struct Files;

/// What the pages may do: use their own origin and nothing else, and no script that stands in the page.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";
/// The same for the hidden frames of the classic client.
const CLIENT_POLICY: &str =
    "default-src 'none'; script-src 'self'; frame-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'";
/// A path may have this in front: it is where the original has its context.
const CONTEXT: &str = "/pushlet";

/// One file, ready to be sent.
#[derive(Debug)]
struct Page {
    bytes: Cow<'static, [u8]>,
    etag: String,
    content_type: &'static str,
    /// Its `Content-Security-Policy`, if it is a document.
    policy: Option<&'static str>,
    /// Whether it belongs to the demo and not to the clients.
    demo: bool,
}

/// The files by path.
#[derive(Debug, Default)]
pub(super) struct Pages {
    by_path: HashMap<String, Page>,
}

impl Pages {
    /// Reads all files.
    pub(super) fn load() -> Self {
        let mut by_path = HashMap::new();
        for name in Files::iter() {
            let (Some(file), Some(path)) = (Files::get(&name), path_of(&name)) else { continue };
            let document = name.ends_with(".html");
            let demo = !path.starts_with("/lib/");
            let page = Page {
                etag: etag(&file.metadata.sha256_hash()),
                bytes: file.data,
                content_type: content_type(&name),
                policy: document.then_some(if demo { PAGE_POLICY } else { CLIENT_POLICY }),
                demo,
            };
            by_path.insert(path, page);
        }
        Self { by_path }
    }

    /// The answer to a request for a page; `None` if there is no such page. `demo` says whether the demo pages are served.
    pub(super) fn route(&self, head: &RequestHead, date: &str, demo: bool) -> Option<Route> {
        let below = head.path.strip_prefix(CONTEXT).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let path = below.unwrap_or(&head.path);
        let reply = ReplyTo::from(head);
        let mut bytes = Vec::new();
        // Without their last slash these would be another folder for the links of their pages.
        let folder = match path {
            "" if demo => Some("pushlet/"),
            "/demo" if demo => Some("demo/"),
            _ => None,
        };
        if let Some(location) = folder.filter(|_| matches!(head.method, Method::Get | Method::Head)) {
            let sent = redirect(&mut bytes, reply, date, location);
            return Some(Route::Answer { bytes, keep_alive: sent.keep_alive, refused: false });
        }
        let page = self.by_path.get(path).filter(|page| demo || !page.demo)?;
        let (sent, refused) = match head.method {
            Method::Get | Method::Head => (page.answer(&mut bytes, head, date), false),
            Method::Options => (options(&mut bytes, reply, date), false),
            Method::Post | Method::Other => (refuse(&mut bytes, reply, date), true),
        };
        Some(Route::Answer { bytes, keep_alive: sent.keep_alive, refused })
    }
}

impl Page {
    /// RFC 9110 sections 13.1.2 and 15.4.5: 304 for whoever has these bytes already.
    fn answer(&self, out: &mut Vec<u8>, head: &RequestHead, date: &str) -> Sent {
        let known = head.if_none_match.as_deref().is_some_and(|tags| is_among(&self.etag, tags));
        let status = if known { 304 } else { 200 };
        out.reserve(512 + if known { 0 } else { self.bytes.len() });
        let answer = ResponseHead::new(out, ReplyTo::from(head), status, date)
            .header("ETag", &self.etag)
            .header("Cache-Control", "no-cache");
        let answer = if known { answer } else { answer.header("Content-Type", self.content_type) };
        let answer = match self.policy {
            Some(policy) => answer.header("Content-Security-Policy", policy),
            None => answer,
        };
        // P-34: the hidden frames load addresses that hold ids; those are nobody's referrer.
        let sent = answer.header("Referrer-Policy", "strict-origin").finish(Body::Length(self.bytes.len() as u64));
        if sent.content {
            out.extend_from_slice(&self.bytes);
        }
        sent
    }
}

const METHODS: &str = "GET, HEAD, OPTIONS";

fn options(out: &mut Vec<u8>, reply: ReplyTo, date: &str) -> Sent {
    ResponseHead::new(out, reply, 204, date).header("Allow", METHODS).finish(Body::Length(0))
}

fn refuse(out: &mut Vec<u8>, reply: ReplyTo, date: &str) -> Sent {
    http::write_refusal(out, reply, METHODS, "This URL is a page: it takes GET, HEAD and OPTIONS.", date)
}

fn redirect(out: &mut Vec<u8>, reply: ReplyTo, date: &str, location: &str) -> Sent {
    ResponseHead::new(out, reply, 308, date).header("Location", location).finish(Body::Length(0))
}

/// Where a file is found: `classic/` is `/lib/`, as it always was, and the modern client is beside it.
fn path_of(name: &str) -> Option<String> {
    match name.split_once('/') {
        None if name == "index.html" => Some(String::from("/")),
        Some(("demo", "index.html")) => Some(String::from("/demo/")),
        Some(("classic" | "modern", file)) => Some(format!("/lib/{file}")),
        Some(("demo", file)) => Some(format!("/demo/{file}")),
        _ => None,
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html;charset=UTF-8",
        Some("js") => "text/javascript;charset=UTF-8",
        Some("css") => "text/css;charset=UTF-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

/// A strong tag: half of the hash tells any two versions of a file apart.
fn etag(hash: &[u8]) -> String {
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// RFC 9110 section 8.8.3.2: weak comparison, which `If-None-Match` asks for.
fn is_among(etag: &str, tags: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{HttpRequest, Progress, RequestReader};

    fn head(text: &str) -> RequestHead {
        let mut reader = RequestReader::new();
        match reader.push(format!("{text}Host: h\r\n\r\n").as_bytes()) {
            Ok((_, Progress::Complete(request))) => {
                let HttpRequest { head, .. } = *request;
                head
            }
            other => panic!("{other:?}"),
        }
    }

    /// Status, head and content.
    fn ask(pages: &Pages, request: &str, demo: bool) -> Option<(String, Vec<u8>)> {
        let Route::Answer { bytes, .. } = pages.route(&head(request), "D", demo)? else { panic!("a command") };
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head ends") + 4;
        Some((String::from_utf8(bytes[..end].to_vec()).expect("a head is text"), bytes[end..].to_vec()))
    }

    fn pages() -> Pages {
        let pages = Pages::load();
        assert!(pages.by_path.contains_key("/"), "no home page among {:?}", pages.by_path.keys());
        pages
    }

    #[test]
    fn every_file_has_a_place_a_type_and_a_tag() {
        for (path, page) in &pages().by_path {
            assert_ne!(page.content_type, "application/octet-stream", "{path} has a suffix without a type");
            assert_eq!(page.policy.is_some(), page.content_type.starts_with("text/html"), "{path}");
            assert!(page.etag.len() == 34 && !page.bytes.is_empty(), "{path}");
        }
    }

    #[test]
    fn a_page_is_there_with_and_without_the_context() {
        let pages = pages();
        let (plain, content) = ask(&pages, "GET / HTTP/1.1\r\n", true).expect("a page");
        let (below, same) = ask(&pages, "GET /pushlet/ HTTP/1.1\r\n", true).expect("a page");
        assert_eq!((plain, &content), (below, &same));
        let (empty, nothing) = ask(&pages, "HEAD / HTTP/1.1\r\n", true).expect("a page");
        assert!(nothing.is_empty() && empty.contains(&format!("Content-Length: {}\r\n", content.len())), "{empty}");
        for path in ["/pushletx", "/pushletx/", "/pushlet/pushlet/", "/classic/", "/lib/", "//", "/index.html"] {
            assert!(ask(&pages, &format!("GET {path} HTTP/1.1\r\n"), true).is_none(), "{path}");
        }
    }

    /// RFC 9110 section 15.4.9: the relative links of a folder's page need its last slash.
    #[test]
    fn folders_without_their_slash_are_sent_on() {
        let pages = pages();
        for (path, location) in [("/pushlet", "pushlet/"), ("/demo", "demo/"), ("/pushlet/demo", "demo/")] {
            let (answer, _) = ask(&pages, &format!("GET {path} HTTP/1.1\r\n"), true).expect("a redirect");
            assert!(
                answer.starts_with("HTTP/1.1 308 ") && answer.contains(&format!("Location: {location}\r\n")),
                "{answer}"
            );
        }
    }

    #[test]
    fn where_the_demo_is_off_its_pages_are_nowhere() {
        let pages = pages();
        for (path, page) in &pages.by_path {
            let answer = ask(&pages, &format!("GET {path} HTTP/1.1\r\n"), false);
            assert_eq!(answer.is_some(), !page.demo, "{path}");
        }
        for path in ["/demo", "/pushlet", "/pushlet/demo"] {
            assert!(ask(&pages, &format!("GET {path} HTTP/1.1\r\n"), false).is_none(), "{path}");
            assert!(ask(&pages, &format!("POST {path} HTTP/1.1\r\n"), true).is_none(), "{path}");
        }
    }

    /// RFC 9110 section 13.1.2.
    #[test]
    fn who_has_the_page_gets_no_second_one() {
        let pages = pages();
        let etag = &pages.by_path["/"].etag;
        for (tags, status) in [
            (etag.clone(), 304),
            (format!("W/{etag}"), 304),
            (format!("\"other\", {etag}"), 304),
            (String::from("*"), 304),
            (String::from("\"other\""), 200),
            (etag.trim_matches('"').to_owned(), 200),
        ] {
            let request = format!("GET / HTTP/1.1\r\nIf-None-Match: {tags}\r\n");
            let (answer, content) = ask(&pages, &request, true).expect("a page");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{tags}: {answer}");
            assert_eq!(content.is_empty(), status == 304, "{tags}");
            assert!(answer.contains(&format!("ETag: {etag}\r\n")), "{answer}");
        }
    }

    /// P-4: the other methods.
    #[test]
    fn a_page_takes_no_post() {
        let pages = pages();
        let (answer, _) = ask(&pages, "POST / HTTP/1.1\r\n", true).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("Allow: GET, HEAD, OPTIONS\r\n"), "{answer}");
        let (answer, _) = ask(&pages, "OPTIONS / HTTP/1.1\r\n", true).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 204 ") && answer.contains("Allow: GET, HEAD, OPTIONS\r\n"), "{answer}");
    }
}
