//! A server that plays the original's part out of a recording, so that the replayer itself can be tested.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::compare::closed_by_the_client;
use super::transcript::{End, Exchange, Transcript};

/// What a replay asks at its end (see `Replayer::finish`), which no recording has.
const LAST: &[u8] = b"GET /pushlet/pushlet.srv?p_event=hb HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Answers each request with the recorded bytes of the first exchange of the same request that is not played yet. What
/// the original sent later is sent at once. The threads end with the test's process.
pub(crate) fn serve(transcript: &Transcript) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a bound socket has an address");
    let unplayed = Arc::new(Mutex::new(transcript.exchanges.clone()));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let unplayed = Arc::clone(&unplayed);
            thread::spawn(move || play(stream, &unplayed));
        }
    });
    addr
}

fn play(mut stream: TcpStream, unplayed: &Mutex<Vec<Exchange>>) {
    let mut request = Vec::new();
    let mut piece = [0_u8; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        request.extend_from_slice(&piece[..read]);
        if request == LAST {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        let found = {
            let mut unplayed = unplayed.lock().expect("no player panics");
            let at = unplayed.iter().position(|exchange| exchange.request == request);
            at.map(|at| unplayed.remove(at))
        };
        if let Some(exchange) = found {
            let _ = stream.write_all(&exchange.response);
            // Held until the client goes, unless the original ended the answer.
            if exchange.end == End::Open || (exchange.end == End::Eof && closed_by_the_client(&exchange)) {
                let _ = stream.read(&mut piece);
            }
            return;
        }
    }
}
