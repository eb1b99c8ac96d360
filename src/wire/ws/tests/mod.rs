//! What comes in and goes out, as an owner sees it.

mod deflate;
mod extensions;
mod handshake;
mod outgoing;
mod pieces;
mod rules;
mod text;

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

/// A frame as the first byte says, of a client if there is a mask. Made here by hand, to hold the writer of the code against it as well.
fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = match payload.len() {
        length @ 0..126 => vec![first, bit | length as u8],
        length @ 126..0x1_0000 => [&[first, bit | 126][..], &(length as u16).to_be_bytes()].concat(),
        length => [&[first, bit | 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    bytes.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    bytes
}

/// A frame of a client.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, Some([0x5a, 0x0f, 0xc3, 0x81]), payload)
}

fn text(text: &str) -> Incoming {
    Incoming::Text(text.to_owned())
}

/// The code with which a server ends after `bytes`; what came before is of no interest.
fn code(bytes: &[u8]) -> Result<bool, u16> {
    serve(bytes).end.map_err(|fault| fault.code)
}
