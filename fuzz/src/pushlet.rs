//! Pushlet requests from any bytes, and whole connections in front of a broker.

use std::collections::HashMap;

use pushletd::broker::{Answer, Broker, Output, Settings};
use pushletd::limits::FIELDS_MAX;
use pushletd::protocol::{Fields, Framing, ReplyToken, Request};
use pushletd::session::{Gather, SessionKey};
use pushletd::time::{Instant, Now};
use pushletd::wire::http::{Method, Progress, RequestReader, Version};
use pushletd::wire::pushlet;

/// The input is a query or a form.
pub fn query_form(bytes: &[u8]) {
    if let Ok(fields) = pushlet::query_fields(bytes) {
        assert!(fields.iter().all(|(name, _)| !name.is_empty()), "a field without a name");
        survives_every_format(&fields);
    }
}

/// The input is the body of a POST.
pub fn post_event(bytes: &[u8]) {
    let incoming = pushlet::Incoming {
        post: true,
        path: "/pushlet.srv",
        query: b"",
        body: bytes,
        user_agent: None,
        force_pull_agents: &[],
    };
    match (pushlet::post_fields(bytes), pushlet::read(&incoming)) {
        (Ok(fields), _) => survives_every_format(&fields),
        (Err(error), Err(same)) => assert_eq!(error, same, "two readings of one body"),
        (Err(error), Ok(_)) => panic!("a body that cannot be read ({error}) made a command"),
    }
}

/// Names are told once; what JSON tells is what was read.
fn survives_every_format(fields: &Fields) {
    assert!(fields.len() <= FIELDS_MAX + 1);
    for (at, (name, _)) in fields.iter().enumerate() {
        assert!(fields.iter().skip(at + 1).all(|(other, _)| other != name), "{name:?} twice");
    }
    for framing in Framing::PUSHLET {
        let mut bytes = Vec::new();
        pushlet::event(framing, true, fields.iter(), &mut bytes);
        if framing == Framing::JsonLines {
            let read: HashMap<String, String> = serde_json::from_slice(&bytes).expect("what we write is JSON");
            let told: HashMap<String, String> =
                fields.iter().map(|(name, value)| (name.into(), value.into())).collect();
            assert_eq!(read, told);
        }
        if framing != Framing::Ser {
            assert!(std::str::from_utf8(&bytes).is_ok(), "{framing:?} is not UTF-8");
        }
    }
}

/// What one client of the connection target has open.
#[derive(Default)]
struct World {
    now: u64,
    next_serial: u32,
    answered: HashMap<u32, u32>,
    open: HashMap<u32, SessionKey>,
}

/// The input is what a connection sends; its bytes also decide how time passes, how much sockets take and when they break.
pub fn connection(bytes: &[u8]) {
    let settings =
        Settings { heartbeat_ms: 1_000, session_timeout_ms: 5_000, detached_timeout_ms: 2_000, ..Settings::default() };
    let mut broker = Broker::new(settings, Now::default(), 1);
    let (mut world, mut reader, mut rest) = (World::default(), RequestReader::new(), bytes);
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(1 + usize::from(rest[0]))];
        match reader.push(piece) {
            Err(_) => break,
            Ok((taken, progress)) => {
                if let Progress::Complete(request) = progress {
                    ask(&mut broker, &mut world, &request);
                }
                let whim = rest[taken - 1];
                rest = &rest[taken..];
                live(&mut broker, &mut world, whim);
            }
        }
    }
    broker.handle_shutdown(now(&world));
    settle(&mut broker, &mut world);
    assert_eq!((broker.session_count(), broker.subscription_count()), (0, 0), "something outlived the shutdown");
    assert!(world.open.is_empty(), "an answer was left open");
    assert!(world.answered.values().all(|answers| *answers == 1), "a request has one answer");
}

fn now(world: &World) -> Now {
    Now { instant: Instant::from_ms(world.now), unix_s: world.now / 1000 }
}

fn ask(broker: &mut Broker, world: &mut World, request: &pushletd::wire::http::HttpRequest) {
    let head = &request.head;
    if !pushlet::is_pushlet_path(&head.path) || !matches!(head.method, Method::Get | Method::Post) {
        return;
    }
    let incoming = pushlet::Incoming {
        post: head.method == Method::Post,
        path: &head.path,
        query: &head.query,
        body: &request.body,
        user_agent: head.user_agent.as_deref(),
        force_pull_agents: &[],
    };
    let Ok((command, agent)) = pushlet::read(&incoming) else { return };
    world.next_serial += 1;
    let serial = world.next_serial;
    world.answered.insert(serial, 0);
    // Small numbers make ids that a seed can name.
    let draw = [u128::from(serial), u128::from(serial) << 32];
    let token = ReplyToken { core: 0, connection: serial, serial };
    let chunked = head.version == Version::Http11;
    broker.handle_request(
        now(world),
        Request { token, command, path: std::sync::Arc::clone(&head.path), chunked, agent, draw },
    );
    settle(broker, world);
}

/// Applies the outputs.
fn settle(broker: &mut Broker, world: &mut World) {
    while let Some(output) = broker.poll_output() {
        match output {
            Output::Answer { token, answer } => {
                *world.answered.get_mut(&token.serial).expect("asked") += 1;
                if let Answer::Error { status, .. } = answer {
                    assert!((400..=599).contains(&status));
                }
            }
            Output::Open { token, session, lead, .. } => {
                *world.answered.get_mut(&token.serial).expect("asked") += 1;
                assert!(!lead.is_empty() && world.open.insert(token.serial, session).is_none());
            }
            Output::Carries { token, events, .. } => {
                assert!(events > 0 && world.answered.contains_key(&token.serial));
            }
            Output::Relay { .. } | Output::Summon { .. } => unreachable!("there is one core"),
            Output::Finish { token, .. } => {
                assert!(world.open.remove(&token.serial).is_some(), "the end of an answer that is not open");
            }
        }
    }
}

/// Lets time pass, sockets take bytes, and connections break.
fn live(broker: &mut Broker, world: &mut World, whim: u8) {
    world.now += u64::from(whim) * 16;
    broker.handle_timeout(now(world));
    settle(broker, world);
    let mut gather = Gather::new();
    for _ in 0..4 {
        let Some((key, token)) = broker.poll_transmit(now(world), &mut gather) else { break };
        assert_eq!(world.open.get(&token.serial), Some(&key), "bytes for an answer that is not open");
        let sent = gather.len().min(usize::from(whim));
        broker.handle_sent(now(world), key, &gather, sent, sent < gather.len());
        if whim.is_multiple_of(3) {
            broker.handle_writable(key, token, true);
        }
    }
    settle(broker, world);
    if whim.is_multiple_of(31)
        && let Some(serial) = world.open.keys().min().copied()
        && let Some(key) = world.open.remove(&serial)
    {
        broker.handle_disconnect(now(world), key, ReplyToken { core: 0, connection: serial, serial });
        settle(broker, world);
    }
}
