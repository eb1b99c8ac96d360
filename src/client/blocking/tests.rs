//! The client against a server that says what it is told to.

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use super::fake::{Peer, SESSION, SOON};
use super::*;
use crate::limits::CLIENT_UNANSWERED_MAX;
use crate::wire::ws::{self, Incoming, Opcode};

/// A server, and the client that connects to it.
fn with_client<T: Send>(
    options: Options,
    server: impl FnOnce(&TcpListener) -> T + Send,
    program: impl FnOnce(Result<Client, Error>),
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    thread::scope(|scope| {
        let server = scope.spawn(|| server(&listener));
        program(Client::connect(&url, options));
        server.join().expect("the server is well")
    })
}

fn next(client: &Client) -> Told {
    client.wait_for(SOON).expect("something is told")
}

/// What held when the connection was lost is asked for again, and nothing else; what is lost is said.
#[test]
fn a_client_comes_again_with_its_subscriptions() {
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        peer.acks(&["subscribe", r#""subject":"/a""#]);
        peer.say(r#"{"lost":2,"subject":"/a","data":1}"#);
        peer.acks(&["subscribe", r#""subject":"/b, /c""#]);
        peer.acks(&["unsubscribe", "/a"]);
        let id = peer.asked(&["subscribe", "/forbidden"]);
        peer.say(&format!(r#"{{"type":"nack","id":{id},"status":403,"reason":"No.","field":"subject"}}"#));
        peer.asked(&["publish"]);
        peer.say(r#"{"type":"end","reason":"queue-full","text":"Too slow.","action":"rejoin","retry_ms":10}"#);
        peer.close(4004);
        assert_eq!(peer.hear(), Incoming::Close(Some(ws::Closing { code: 4004, reason: String::new() })));
        let mut peer = Peer::join(listener);
        peer.acks(&["subscribe", r#""subject":"/b""#]);
        let id = peer.asked(&["subscribe", r#""subject":"/c""#]);
        peer.say(&format!(r#"{{"type":"nack","id":{id},"status":403,"reason":"No more."}}"#));
        peer.acks(&["ping"]);
        assert_eq!(peer.hear(), Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() })));
        peer.close(1000);
    };
    with_client(Options::new().subject("/a"), server, |client| {
        let client = client.expect("a session");
        assert!(matches!(next(&client), Told::Joined(session) if session.address == "ADDR"));
        assert_eq!(next(&client), Told::Lost(2));
        assert!(matches!(next(&client), Told::Event(event) if event.data() == Some("1")));
        client.subscribe("/b, /c").and_then(Pending::wait).expect("an ack");
        client.unsubscribe("/a").and_then(Pending::wait).expect("an ack");
        let refused = client.subscribe("/forbidden").and_then(Pending::wait);
        assert!(matches!(&refused, Err(Error::Nack(nack)) if nack.status == 403), "{refused:?}");
        let unknown = client.publish("/x", &1).and_then(Pending::wait);
        assert!(matches!(&unknown, Err(Error::Link(what)) if what.contains("nobody knows")), "{unknown:?}");
        let lost = next(&client);
        let Told::Disconnected { why, again_in } = lost else { panic!("{lost:?}") };
        assert!(why.contains("Too slow."), "{why}");
        assert!((Duration::from_millis(10)..=Duration::from_millis(1010)).contains(&again_in), "{again_in:?}");
        assert!(matches!(next(&client), Told::Joined(_)));
        assert!(matches!(next(&client), Told::Reset { .. }));
        client.ping().and_then(Pending::wait).expect("a pong");
        let told = next(&client);
        assert!(
            matches!(&told, Told::Refused { subject, nack } if subject == "/c" && nack.reason == "No more."),
            "{told:?}"
        );
        client.close();
    });
}

/// Without a connection a subscription waits for the next one, and a publish is refused.
#[test]
fn what_is_asked_for_without_a_connection() {
    let server = |listener: &TcpListener| {
        drop(Peer::join(listener));
        let mut peer = Peer::join(listener);
        peer.acks(&["subscribe", r#""subject":"/later""#]);
        peer.hear()
    };
    let heard = with_client(Options::new(), server, |client| {
        let client = client.expect("a session");
        while !matches!(next(&client), Told::Disconnected { .. }) {}
        // It may be back already; what matters is that it comes and is acked in either case.
        client.subscribe("/later").and_then(Pending::wait).expect("an ack");
        client.close();
    });
    assert_eq!(heard, Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() })));
}

/// A server that says that it makes no sense is not asked again.
#[test]
fn what_makes_no_sense_is_not_repeated() {
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        peer.close(1009);
        peer.hear();
    };
    with_client(Options::new(), server, |client| {
        let client = client.expect("a session");
        assert!(matches!(next(&client), Told::Joined(_)));
        let told = next(&client);
        assert!(matches!(&told, Told::Closed(Error::Closed(closed)) if closed.code == Some(1009)), "{told:?}");
        assert_eq!(client.events().next(), None);
        assert!(matches!(client.publish("/a", &1), Err(Error::Link(_))));
    });
}

#[test]
fn a_refusal_is_told_and_the_key_is_presented() {
    let server = |listener: &TcpListener| {
        let mut peer = Peer::next(listener);
        let body = r#"{"status":401,"detail":"A key is needed."}"#;
        let head = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\nContent-Length: ";
        peer.stream.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).expect("a connection");
        peer.head
    };
    let options = Options::new().key("s3cret");
    assert!(!format!("{options:?}").contains("s3cret"));
    let head = with_client(options, server, |client| {
        let error = client.expect_err("it is refused");
        assert_eq!(error.to_string(), "the server answered 401: A key is needed.");
    });
    assert!(head.contains("\r\nAuthorization: Bearer s3cret\r\n"), "{head}");
}

#[test]
fn addresses_that_cannot_be_are_told() {
    let wrong = |url: &str| Client::connect(url, Options::new()).expect_err(url).to_string();
    assert!(wrong("wss://h/").contains("put a proxy in front"));
    assert!(wrong("h:80").contains("ws://"));
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    assert!(wrong(&format!("ws://{nobody}/")).contains("cannot connect"));
    let key = Client::connect("ws://127.0.0.1:1/", Options::new().key("a\r\nb"));
    assert!(key.is_err());
}

/// Somebody who drops his client wants no more of it: the server is told, and the thread ends.
#[test]
fn a_dropped_client_leaves() {
    let server = |listener: &TcpListener| Peer::join(listener).hear();
    let heard = with_client(Options::new(), server, |client| drop(client.expect("a session")));
    assert_eq!(heard, Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() })));
}

/// What was unanswered when the connection was lost counts in the order in which it was asked for.
#[test]
fn unanswered_requests_keep_their_order() {
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        for number in 0..8 {
            let subject = format!("\"/{number}\"");
            let (first, then) =
                if number % 2 == 0 { ("subscribe", "unsubscribe") } else { ("unsubscribe", "subscribe") };
            peer.asked(&[&format!("\"{first}\""), &subject]);
            peer.asked(&[&format!("\"{then}\""), &subject]);
        }
        drop(peer);
        let mut peer = Peer::join(listener);
        for number in [1, 3, 5, 7] {
            peer.acks(&["\"subscribe\"", &format!("\"/{number}\"")]);
        }
        assert_eq!(peer.hear(), Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() })));
    };
    with_client(Options::new(), server, |client| {
        let client = client.expect("a session");
        let mut answers = Vec::new();
        for number in 0..8 {
            let subject = format!("/{number}");
            let ask = |subscribes| if subscribes { client.subscribe(&subject) } else { client.unsubscribe(&subject) };
            answers.push(ask(number % 2 == 0).expect("it is sent"));
            answers.push(ask(number % 2 == 1).expect("it is sent"));
        }
        // Of the even ones nobody hears again: their asker went with the unsubscribe.
        let held = answers.into_iter().filter_map(|pending| pending.wait().ok()).count();
        assert_eq!(held, 8 + 4);
        client.close();
    });
}

/// A server of other settings takes no such long request: the program hears it, and whoever waits for it does.
#[test]
fn a_subscription_that_is_too_long_is_told() {
    let long = format!("/{}", "x".repeat(200));
    let server = |listener: &TcpListener| {
        let mut peer = Peer::upgrade(listener);
        peer.say(&SESSION.replace("262144", "200"));
        peer.acks(&["subscribe", "/short"]);
        assert_eq!(peer.hear(), Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() })));
    };
    with_client(Options::new().subject(long.clone()).subject("/short"), server, |client| {
        let client = client.expect("a session");
        assert!(matches!(next(&client), Told::Joined(_)));
        let told = next(&client);
        assert!(
            matches!(&told, Told::Refused { subject, nack } if *subject == long && nack.limit == Some(200)),
            "{told:?}"
        );
        client.close();
    });
}

/// What the program asks for before the session is there does not take the place of what held.
#[test]
fn subscriptions_do_not_count_as_unanswered() {
    let server = |listener: &TcpListener| {
        drop(Peer::join(listener));
        let mut peer = Peer::upgrade(listener);
        for _ in 0..CLIENT_UNANSWERED_MAX {
            peer.asked(&["ping"]);
        }
        peer.say(SESSION);
        peer.acks(&["subscribe", "/held"]);
        assert_eq!(peer.hear(), Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() })));
    };
    with_client(Options::new().subject("/held"), server, |client| {
        let client = client.expect("a session");
        while !matches!(next(&client), Told::Disconnected { .. }) {}
        let mut sent = 0;
        let end = std::time::Instant::now() + SOON;
        while sent < CLIENT_UNANSWERED_MAX {
            assert!(std::time::Instant::now() < end, "{sent}");
            match client.ping() {
                Ok(_) => sent += 1,
                Err(Error::Unsent(Unsent::NotOpen)) => thread::yield_now(),
                Err(error) => panic!("{error:?} after {sent}"),
            }
        }
        while !matches!(next(&client), Told::Reset { .. }) {}
        client.close();
    });
}

/// A server that takes nothing before its own messages are taken: what the client has to send waits, and it reads on.
#[test]
fn reading_goes_on_while_writing_waits() {
    const EVENTS: usize = 640;
    const REQUESTS: usize = 256;
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        let event = format!(r#"{{"subject":"/a","data":"{}"}}"#, "x".repeat(65_000));
        for _ in 0..EVENTS {
            peer.say(&event);
        }
        for _ in 0..REQUESTS {
            peer.asked(&["publish"]);
        }
        assert_eq!(peer.hear(), Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() })));
    };
    with_client(Options::new(), server, |client| {
        let client = client.expect("a session");
        let data = "y".repeat(65_000);
        for number in 0..REQUESTS {
            assert!(client.publish("/b", &data).is_ok(), "{number}");
        }
        assert!(matches!(next(&client), Told::Joined(_)));
        for _ in 0..EVENTS {
            let told = next(&client);
            assert!(matches!(told, Told::Event(_)), "{told:?}");
        }
        client.close();
    });
}

/// The connection has ended, but the program does not take its events, so nothing is settled yet: what it asks for now comes behind the rest.
#[test]
fn what_is_asked_for_at_the_end_keeps_its_order() {
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        peer.asked(&["\"subscribe\"", "/a"]);
        let mut frames = Vec::new();
        for _ in 0..1100 {
            ws::write(Opcode::Text, br#"{"subject":"/b"}"#, &mut frames);
        }
        ws::close(4004, "", &mut frames);
        peer.stream.write_all(&frames).expect("a connection");
        let mut peer = Peer::join(listener);
        peer.acks(&["ping"]);
        assert_eq!(peer.hear(), Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() })));
    };
    with_client(Options::new(), server, |client| {
        let client = client.expect("a session");
        let subscribed = client.subscribe("/a").expect("it is sent");
        let end = std::time::Instant::now() + SOON;
        // What is too long is never sent; when there is no connection, that is said instead.
        let long = "x".repeat(300_000);
        while !matches!(client.publish("/a", &long), Err(Error::Unsent(Unsent::NotOpen))) {
            assert!(std::time::Instant::now() < end, "the connection does not end");
            thread::yield_now();
        }
        let unsubscribed = client.unsubscribe("/a").expect("it is kept");
        while !matches!(next(&client), Told::Reset { .. }) {}
        assert_eq!(unsubscribed.wait(), Ok(Ack::default()));
        assert!(matches!(subscribed.wait(), Err(Error::Link(what)) if what.contains("another request")));
        client.ping().and_then(Pending::wait).expect("a pong");
        client.close();
    });
}
