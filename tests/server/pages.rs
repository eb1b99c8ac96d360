//! What browsers fetch besides events: the pages and the classic clients, and what the answers allow them to do.

use std::path::Path;

use pushletd::protocol::Format;

use crate::support::http::{Connection, get, post};
use crate::support::pushlet::{PATH, SOON, Session, events_of, target};
use crate::support::server::{Server, on_both_drivers_at_once};

/// Every file below `clients/` that has an address, with it.
fn files() -> Vec<(String, Vec<u8>)> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let mut found = vec![(String::from("/"), std::fs::read(clients.join("index.html")).expect("the home page"))];
    for (folder, address) in [("classic", "/lib/"), ("modern", "/lib/"), ("demo", "/demo/")] {
        for entry in std::fs::read_dir(clients.join(folder)).expect("a folder of files") {
            let entry = entry.expect("a file");
            let name = entry.file_name().into_string().expect("plain names");
            let name = if name == "index.html" { "" } else { &name };
            found.push((format!("{address}{name}"), std::fs::read(entry.path()).expect("a file can be read")));
        }
    }
    found
}

/// Each file is at its address and below `/pushlet`, byte for byte, and is not sent a second time to who has it.
#[test]
fn every_file_is_served_and_served_once() {
    let files = files();
    for name in
        ["/lib/ajax-pushlet-client.js", "/lib/js-pushlet-client.js", "/lib/js-pushlet-net.html", "/demo/chat.html"]
    {
        assert!(files.iter().any(|(address, _)| address == name), "{name} is not there");
    }
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &["--cores", "2"], "");
        let mut connection = Connection::open(server.addr());
        for (address, content) in &files {
            let answer = connection.ask(&get(address), SOON);
            assert_eq!((answer.head.status, answer.body == *content), (200, true), "{address}");
            assert_eq!(answer.head.get("x-content-type-options"), Some("nosniff"), "{address}");
            let policy = answer.head.get("content-security-policy");
            let document = answer.head.get("content-type") == Some("text/html;charset=UTF-8");
            assert_eq!(
                policy.is_some_and(|policy| policy.starts_with("default-src 'none'; script-src 'self';")),
                document
            );
            let below = connection.ask(&get(&format!("/pushlet{address}?a=b")), SOON);
            assert_eq!((below.head.status, below.body == *content), (200, true), "/pushlet{address}");
            let tag = answer.head.get("etag").expect("a tag");
            let again = format!("GET {address} HTTP/1.1\r\nHost: h\r\nIf-None-Match: {tag}\r\n\r\n");
            let answer = connection.ask(again.as_bytes(), SOON);
            assert_eq!((answer.head.status, answer.body.len(), answer.head.get("content-length")), (304, 0, None));
        }
    });
}

/// RFC 9110: what a page does with other methods, and what is near a page and none.
#[test]
fn a_page_is_only_read() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let mut connection = Connection::open(server.addr());
        let refused = connection.ask(&post("/demo/", "text/plain", b"x"), SOON);
        assert_eq!((refused.head.status, refused.head.get("allow")), (405, Some("GET, HEAD, OPTIONS")));
        connection.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        connection.begin(true);
        let head = connection.wait_answer(SOON).head;
        assert!(head.status == 200 && head.get("content-length").is_some_and(|length| length != "0"));
        let moved = connection.ask(&get("/pushlet/demo"), SOON);
        assert_eq!((moved.head.status, moved.head.get("location")), (308, Some("demo/")));
        for path in [
            "/lib/",
            "/lib/../demo/",
            "/demo/index.html",
            "/classic/",
            "/demo/%2e%2e/lib/",
            "/package.json",
            "/demo/chat.html/",
        ] {
            assert_eq!(connection.ask(&get(path), SOON).head.status, 404, "{path}");
        }
    });
}

/// `--demo`: the pages are there by default on loopback alone, the classic clients always.
#[test]
fn the_demo_can_be_switched() {
    on_both_drivers_at_once(|driver| {
        for (listen, demo, is_on) in [
            ("127.0.0.1:0", "auto", true),
            ("127.0.0.1:0", "off", false),
            ("0.0.0.0:0", "auto", false),
            ("0.0.0.0:0", "on", true),
        ] {
            let server = Server::start_at(listen, driver, &["--demo", demo]);
            let mut connection = Connection::open((std::net::Ipv4Addr::LOCALHOST, server.addr().port()).into());
            let home = connection.ask(&get("/"), SOON);
            assert_eq!(home.head.status, 200);
            assert_eq!(home.head.get("content-type") == Some("text/html;charset=UTF-8"), is_on, "{listen} {demo}");
            let chat = connection.ask(&get("/demo/chat.html"), SOON);
            assert_eq!(chat.head.status == 200, is_on, "{listen} {demo}");
            assert_eq!(connection.ask(&get("/lib/ajax-pushlet-client.js"), SOON).head.status, 200);
            assert_eq!(server.stdout().contains("open: http://"), is_on, "{listen} {demo}");
        }
    });
}

/// A page and requests pipelined on one connection are answered in order, also to a reader that takes them in small bits.
#[test]
fn pages_and_requests_share_a_connection() {
    let home = &files()[0].1;
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let session = Session::join(server.addr(), Format::Json);
        let mut connection = Connection::open_narrow(server.addr());
        let requests: Vec<u8> = (0..20).flat_map(|_| [get("/"), session.request("hb", &[])].concat()).collect();
        connection.send(&requests);
        for _ in 0..20 {
            connection.begin(false);
            assert!(connection.wait_answer(SOON).body == *home);
            connection.begin(false);
            assert_eq!(events_of(&connection.wait_answer(SOON))[0].kind(), "hb-ack");
        }
    });
}

/// P-10, P-33: answers in format `js` are documents made of scripts, and they alone may run scripts that stand in them.
#[test]
fn the_script_format_says_what_it_may_do() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        for format in ["js", "xml", "xml-strict", "ser", "json"] {
            for (event, mode) in [("join", ""), ("join-listen", "pull"), ("join-listen", "stream")] {
                let mut connection = Connection::open(server.addr());
                connection.request(&get(&target(&[("p_event", event), ("p_format", format), ("p_mode", mode)])));
                let head = connection.wait_head(SOON);
                let policy = head.get("content-security-policy");
                assert_eq!(policy.is_some_and(|policy| policy.contains("'unsafe-inline'")), format == "js", "{format}");
            }
        }
        let mut connection = Connection::open(server.addr());
        let error = connection.ask(&get(&format!("{PATH}?p_event=hb&p_id=<script>")), SOON);
        assert_eq!(error.head.get("content-type"), Some("text/plain;charset=UTF-8"));
    });
}
