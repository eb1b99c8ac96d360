//! Signals: stopping with good manners and without, and reading the configuration again (rule P-32).

use std::net::TcpStream;
use std::time::{Duration, Instant};

use pushletd::protocol::Format;
use rustix::process::Signal;

use crate::support::http::{Connection, get};
use crate::support::look::{admin_get, metric};
use crate::support::pushlet::{Channel, Event, SOON, Session};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};

const REASON: &str = "the server is shutting down";

/// P-32: everybody who listens is told, in every mode, and every answer is whole.
#[test]
fn term_tells_everybody_and_ends_with_success() {
    on_both_drivers_at_once(|driver| {
        let mut server = Server::start_with_admin(driver, &["--drain-time", "10s"], "");
        let join = |format| Session::join(server.addr(), format);
        let mut listening: Vec<Channel> = Vec::new();
        for format in [Format::Js, Format::Xml, Format::XmlStrict, Format::Ser, Format::Json] {
            let mut stream = join(format).listen("stream", Some("/s"));
            stream.wait_count(2);
            listening.push(stream);
            let pulling = join(format);
            pulling.listen("pull", None).wait_end(SOON);
            listening.push(pulling.refresh());
        }
        join(Format::Json).listen("poll", None).wait_end(SOON);
        let expected = listening.len() as u64;
        let all = wait_for(SOON, || metric(&server, "sessions_listening") == expected);
        assert!(all, "{} listen", metric(&server, "sessions_listening"));
        let mut idle = Connection::open(server.addr());
        assert_eq!(idle.ask(&get("/"), SOON).head.status, 200);
        // Its core has it before its next request begins, and reads what has arrived when it begins to drain.
        let mut busy = Connection::open(server.addr());
        assert_eq!(busy.ask(&get("/"), SOON).head.status, 200);
        busy.request(b"GET / HTTP/1.1\r\n");

        server.signal(Signal::TERM);
        for mut channel in listening {
            let events = channel.wait_end(SOON);
            assert!(channel.connection.is_whole(), "{events:?}");
            let (last, before) = events.split_last().expect("events");
            assert_eq!((last.kind(), last.field("p_reason")), ("abort", REASON), "{events:?}");
            assert!(before.iter().all(|event| event.kind() != "refresh"), "{events:?}");
            channel.connection.wait_closed(SOON);
        }
        idle.wait_closed(SOON);
        busy.send(b"Host: h\r\n\r\n");
        let answer = busy.wait_answer(SOON);
        assert_eq!((answer.head.status, answer.head.get("connection")), (200, Some("close")));
        drop(busy);
        let status = server.wait(Duration::from_secs(5)).expect("nothing is left to wait for");
        assert_eq!(status.code(), Some(0), "{}", server.stderr());
    });
}

/// A stream whose client never reads, with so much queued that its last bytes find no room.
fn never_read(server: &Server) -> Channel {
    let session = Session::join(server.addr(), Format::Json);
    let channel = session.data_on(Connection::open_narrow(server.addr()), "listen", &[("p_subject", "/blocked")]);
    let publisher = Session::join(server.addr(), Format::Json);
    let value = "v".repeat(8_000);
    let blocked = wait_for(SOON, || {
        publisher.publish("/blocked", &[("value", &value)]);
        metric(server, "lost_total") > 0
    });
    assert!(blocked, "the socket takes everything");
    channel
}

/// P-32: a client that reads nothing delays the end by the drain time and no longer. Meanwhile nobody new is let in, and operations know.
#[test]
fn a_client_that_never_reads_cannot_hold_the_server() {
    on_both_drivers_at_once(|driver| {
        let args = ["--drain-time", "2s", "--overflow", "drop-oldest", "--queue-size", "4"];
        let mut server = Server::start_with_admin(driver, &args, "");
        let _channel = never_read(&server);
        assert_eq!(admin_get(server.admin(), "/readyz").head.status, 200);
        let began = Instant::now();
        server.signal(Signal::TERM);
        let refused = wait_for(Duration::from_millis(1500), || {
            TcpStream::connect(server.addr()).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
        });
        assert!(refused, "the port is still open");
        let ready = admin_get(server.admin(), "/readyz");
        assert_eq!((ready.head.status, ready.text().trim()), (503, "draining"));
        assert_eq!(admin_get(server.admin(), "/healthz").head.status, 200);
        let status = server.wait(Duration::from_secs(8)).expect("the drain time is over");
        assert_eq!(status.code(), Some(0), "{}", server.stderr());
        assert!(began.elapsed() >= Duration::from_millis(1900), "{:?}", began.elapsed());
    });
}

/// P-32: the second signal means now.
#[test]
fn a_second_signal_ends_at_once() {
    on_both_drivers_at_once(|driver| {
        for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
            let args = ["--drain-time", "60s", "--overflow", "drop-oldest", "--queue-size", "4"];
            let mut server = Server::start_with_admin(driver, &args, "");
            let _channel = never_read(&server);
            server.signal(first);
            server.wait_stderr("draining", SOON);
            server.signal(second);
            let status = server.wait(Duration::from_secs(3)).expect("now means now");
            assert_ne!(status.code(), Some(0), "clients were cut off");
        }
    });
}

fn heartbeats(events: &[Event]) -> usize {
    events.iter().filter(|event| event.kind() == "hb").count()
}

/// HUP: what can change changes, a bad file changes nothing, and both are told.
#[test]
fn hup_takes_new_settings_and_refuses_bad_ones() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "heartbeat = \"10m\"\n");
        let session = Session::join(server.addr(), Format::Json);
        let mut old = session.listen("stream", Some("/old"));
        old.wait_count(2);
        server.rewrite_config("heartbeat = \"100ms\"\n\n[http]\nhead_timeout = \"200ms\"\n");
        server.signal(Signal::HUP);
        server.wait_stderr("the configuration was reloaded", SOON);
        let mut new = Session::join(server.addr(), Format::Json).listen("stream", None);
        new.wait_for(SOON, |events| heartbeats(events) >= 5);
        // The old stream takes the new rhythm with its next event.
        session.publish("/old", &[]);
        old.wait_for(SOON, |events| heartbeats(events) >= 4);
        let mut silent = Connection::open(server.addr());
        silent.wait_closed(Duration::from_secs(5));

        for bad in ["heartbeat = \"soon\"\n", "hearbeat = \"5m\"\n", "heartbeat = [\n"] {
            let told = server.stderr().matches("nothing has changed").count();
            server.rewrite_config(bad);
            server.signal(Signal::HUP);
            let more = wait_for(SOON, || server.stderr().matches("nothing has changed").count() > told);
            assert!(more, "{bad:?} is taken in silence:\n{}", server.stderr());
        }
        let mut newer = Session::join(server.addr(), Format::Json).listen("stream", None);
        newer.wait_for(SOON, |events| heartbeats(events) >= 3);

        // What cannot change while it runs is told too.
        server.rewrite_config("heartbeat = \"100ms\"\nmax_connections = 9\n");
        server.signal(Signal::HUP);
        server.wait_stderr("takes effect with the next start", SOON);
    });
}
