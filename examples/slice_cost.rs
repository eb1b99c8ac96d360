//! How long one publish to 100,000 sessions keeps a core from its other requests: what its first step costs, and each of its slices.
//! `cargo run --release --example slice_cost`.

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use pushletd::broker::{Broker, Settings};
use pushletd::limits::DELIVERIES_PER_SLICE_MAX;
use pushletd::protocol::{
    Agent, Audience, Command, Event, Fields, Format, FormatName, Listen, Mode, ModeName, Origin, Overflow, Payload,
    ReplyToken, Request,
};
use pushletd::session::{Bounds, Gather};
use pushletd::time::{Instant, Now};
use pushletd::topic::Subject;

const SESSIONS: u32 = 100_000;
const NOW: Now = Now { instant: Instant::ZERO, unix_s: 1_753_000_000 };

/// A core with that many sessions that listen to everything.
fn core(mode: Mode, overflow: Option<Overflow>, events_max: u32) -> Broker {
    let bounds = Bounds { events_max, bytes_max: 1 << 20 };
    let mut broker = Broker::new(Settings { bounds, overflow, ..Settings::default() }, NOW, 1);
    for connection in 0..SESSIONS {
        let listen = Listen { mode: ModeName::Known(mode), subject: Some(Box::from("/all")), ..Listen::default() };
        let bits = u128::from(connection) + 1;
        let request = Request {
            token: ReplyToken { core: 0, connection, serial: 1 },
            command: Command::JoinListen { format: FormatName::Known(Format::Json), listen },
            path: Arc::from("/pushlet.srv"),
            chunked: true,
            agent: Agent::default(),
            draw: [bits, bits],
        };
        broker.handle_request(NOW, request);
        while broker.poll_output().is_some() {}
    }
    broker
}

fn event(subject: &str) -> Arc<Event> {
    let text = "it is quiet in here";
    Arc::new(Event {
        name: None,
        subject: Subject::new(subject).expect("a subject"),
        payload: Payload::Fields([("name", "somebody"), ("text", text)].into_iter().collect::<Fields>()),
        origin: Origin::default(),
        position: None,
        accepted_at: NOW.unix_s,
    })
}

fn print(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let us = |at: usize| times[at].as_secs_f64() * 1e6;
    let (middle, late, last) = (times.len() / 2, times.len() * 99 / 100, times.len() - 1);
    println!("{name:<44} {:>6} {:>9.0} {:>9.0} {:>9.0}", times.len(), us(middle), us(late), us(last));
}

/// Publishes so many events of different subjects; `flushes` says whether sockets take everything behind each publish.
fn measure(name: &str, mut broker: Broker, publishes: u32, flushes: bool) {
    let (mut begins, mut slices, mut gather) = (Vec::new(), Vec::new(), Gather::new());
    for number in 0..publishes {
        let begin = Clock::now();
        broker.handle_event(NOW, &event(&format!("/all/{number}")), &Audience::Subscribers);
        begins.push(begin.elapsed());
        while broker.is_delivering() {
            let begin = Clock::now();
            broker.deliver_slice(NOW);
            slices.push(begin.elapsed());
            while broker.poll_output().is_some() {}
        }
        while flushes && let Some((session, _)) = broker.poll_transmit(NOW, &mut gather) {
            broker.handle_sent(NOW, session, &gather, gather.len(), false);
        }
    }
    print(&format!("{name}: begin"), begins);
    print(&format!("{name}: a slice"), slices);
}

fn main() {
    println!("{SESSIONS} sessions, slices of {DELIVERIES_PER_SLICE_MAX}, microseconds");
    println!("{:<44} {:>6} {:>9} {:>9} {:>9}", "", "steps", "median", "99 %", "most");
    measure("pull, queues grow", core(Mode::Pull, None, 256), 10, false);
    measure("pull, full queues drop the oldest", core(Mode::Pull, None, 1), 10, false);
    // The step that finds the queues full for the first time goes through all of them.
    measure("pull, queues fill and conflate", core(Mode::Pull, Some(Overflow::Conflate), 64), 65, false);
    measure("stream, flushed", core(Mode::Stream, None, 256), 10, true);
    measure("stream, full queues end sessions", core(Mode::Stream, None, 1), 2, false);
}
