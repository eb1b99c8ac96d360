//! One client's flood is not the others' problem: work is done in bounded pieces, and time goes on between them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pushletd::protocol::Format;
use rustix::process::Signal;

use crate::support::http::Connection;
use crate::support::look::{processor_time, settled_metric, wait_metric};
use crate::support::pushlet::{SOON, Session};
use crate::support::server::{Driver, Server, on_both_drivers_at_once, wait_for};

/// Sends `requests` over and over and drops the answers, until told to stop or cut off.
fn flood(server: &Server, requests: &[u8], stop: &AtomicBool, sent: &AtomicU64) {
    let mut stream = TcpStream::connect(server.addr()).expect("the server accepts");
    stream.set_nonblocking(true).expect("an option of a socket");
    let mut at = 0;
    let mut answers = vec![0; 256 * 1024];
    while !stop.load(Ordering::Relaxed) {
        match stream.write(&requests[at..]) {
            Ok(taken) => {
                sent.fetch_add(taken as u64, Ordering::Relaxed);
                at = (at + taken) % requests.len();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        match stream.read(&mut answers) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => return,
        }
    }
}

/// Reads what comes to any of the streams and drops it. Says how many are still open.
fn drain(streams: &mut [TcpStream], piece: &mut [u8]) -> usize {
    let mut open = 0;
    for stream in streams {
        open += usize::from(match stream.read(piece) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
    }
    open
}

/// A flood of publishes to many listeners: another client's small question is still answered in no time.
#[test]
fn a_flood_to_many_listeners_delays_nobody_else() {
    for driver in Driver::ALL {
        // One core, so that the processor time of the whole server is the time of the turns between question and answer.
        small_questions_in_a_flood(driver, &["--cores", "1"], Duration::from_millis(250));
    }
}

/// The same when the question may have to go to another core: then it waits behind what is in that core's inbox.
#[test]
fn a_flood_delays_questions_to_other_cores_by_one_inbox_at_most() {
    for driver in Driver::ALL {
        small_questions_in_a_flood(driver, &["--cores", "2", "--inbox-size", "16"], Duration::from_millis(1000));
    }
}

/// `worked_max` is how long the server may work before it answers.
fn small_questions_in_a_flood(driver: Driver, args: &[&str], worked_max: Duration) {
    const LISTENERS: usize = 2000;
    {
        let server = Server::start_with_admin(driver, args, "");
        let mut streams: Vec<TcpStream> = (0..LISTENERS)
            .map(|_| {
                let target = "/pushlet.srv?p_event=join-listen&p_format=json&p_subject=/flood";
                let mut stream = TcpStream::connect(server.addr()).expect("the server accepts");
                stream.write_all(&crate::support::http::get(target)).expect("the server reads");
                stream.set_nonblocking(true).expect("an option of a socket");
                stream
            })
            .collect();
        wait_metric(&server, "sessions_listening", LISTENERS as u64, SOON);
        let flooder = Session::join(server.addr(), Format::Json);
        let asker = Session::join(server.addr(), Format::Json);
        let requests =
            flooder.request("publish", &[("p_subject", "/flood"), ("text", "drop in the ocean")]).repeat(500);
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let (mut waits, mut worked) = (Vec::new(), Duration::ZERO);
        std::thread::scope(|scope| {
            scope.spawn(|| flood(&server, &requests, &stop, &sent));
            let reader = scope.spawn(|| {
                let mut piece = vec![0; 64 * 1024];
                let mut open = LISTENERS;
                while !stop.load(Ordering::Relaxed) {
                    open = drain(&mut streams, &mut piece);
                }
                open
            });
            let under_way = wait_for(SOON, || sent.load(Ordering::Relaxed) > 20_000);
            let mut connection = Connection::open(server.addr());
            for _ in 0..40 {
                let (asked, before) = (Instant::now(), processor_time(&server));
                assert_eq!(connection.ask(&asker.request("hb", &[]), SOON).head.status, 200);
                worked = worked.max(processor_time(&server) - before);
                waits.push(asked.elapsed());
            }
            stop.store(true, Ordering::Relaxed);
            assert!(under_way, "the flood does not flow");
            assert_eq!(reader.join().expect("the reader is done"), LISTENERS, "no listener was cut off");
        });
        // What the server did in between is its own; how long that took is also other programs' doing.
        assert!(worked < worked_max, "{driver:?}: {worked:?} of work before an answer, {waits:?}");
        waits.sort();
        assert!(waits[waits.len() / 2] < worked_max, "{driver:?}: {waits:?}");
        assert!(settled_metric(&server, "published_total") > 20);
        assert_eq!(settled_metric(&server, "sessions_ended_total{reason=\"queue-full\"}"), 0);
    }
}

/// Deadlines are kept and signals are heard however busy the server is.
#[test]
fn time_goes_on_during_a_flood() {
    on_both_drivers_at_once(|driver| {
        let toml = "[http]\nhead_timeout = \"300ms\"\n";
        let mut server = Server::start_with_admin(driver, &["--heartbeat", "200ms", "--drain-time", "60s"], toml);
        let session = Session::join(server.addr(), Format::Json);
        let mut stream = session.listen("stream", None);
        stream.wait_count(2);
        let requests = session.request("hb", &[]).repeat(500);
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| flood(&server, &requests, &stop, &sent));
            }
            let under_way = wait_for(SOON, || sent.load(Ordering::Relaxed) > 1_000_000);
            let slow = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut slow = Connection::open(server.addr());
                slow.request(b"GET / ");
                let began = Instant::now();
                assert_eq!(slow.wait_answer(Duration::from_secs(5)).head.status, 408);
                assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
                let count = stream.events().len();
                stream.wait_count(count + 4);
                server.signal(Signal::TERM);
                stream.wait_end(Duration::from_secs(5));
                server.signal(Signal::TERM);
                server.wait_stderr("stopping now", Duration::from_secs(5));
            }));
            stop.store(true, Ordering::Relaxed);
            assert!(under_way, "the flood does not flow");
            if let Err(cause) = slow {
                std::panic::resume_unwind(cause);
            }
        });
        assert!(server.wait(Duration::from_secs(3)).is_some(), "the second signal ends it");
    });
}
