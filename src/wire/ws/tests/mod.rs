//! What comes in and goes out, as an owner sees it.

mod deflate;
mod handshake;
mod rules;

use super::{Bounds, Fault, Inbound, Incoming, Role};

/// Bounds that only the tests of bounds reach.
const WIDE: Bounds = Bounds { frame: 1 << 20, message: 1 << 20 };

/// What a connection's bytes come to: what came in, and the fault or whether it is idle at the end.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    incoming: Vec<Incoming>,
    end: Result<bool, Fault>,
}

/// Feeds `pieces` one after the other, like an owner that keeps what is not taken and drops what is idle.
fn feed<'a>(role: Role, deflate: bool, bounds: Bounds, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut inbound = Inbound::new(role, deflate);
    let (mut kept, mut incoming) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match inbound.push(&kept, bounds) {
                Ok((taken, came)) => {
                    kept.drain(..taken);
                    let more = came.is_some();
                    incoming.extend(came);
                    if inbound.is_idle() {
                        assert_eq!(inbound.held_bytes(), 0, "idle and holds memory");
                        inbound = Inbound::new(role, deflate);
                    }
                    if !more {
                        assert!(kept.len() <= 13, "{} bytes were left over", kept.len());
                        break;
                    }
                }
                Err(fault) => {
                    assert_eq!(inbound.push(b"", bounds), Err(fault), "a fault is final");
                    return Outcome { incoming, end: Err(fault) };
                }
            }
        }
    }
    Outcome { incoming, end: Ok(inbound.is_idle() && kept.is_empty()) }
}

/// Feeds all at once to a server.
fn serve(bytes: &[u8]) -> Outcome {
    feed(Role::Server, false, WIDE, [bytes])
}
