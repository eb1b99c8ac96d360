//! WebSocket frames from any bytes, as a server and as a client read them.

use pushletd::wire::ws::{self, Bounds, Closing, Fault, Inbound, Incoming, Opcode, Role};

/// What a connection's bytes come to: what came in, and the fault or whether it is idle at the end.
type Outcome = (Vec<Incoming>, Result<bool, Fault>);

/// The first byte chooses who reads, whether messages may be compressed and how large they may be, the second the length of the pieces.
pub fn ws_inbound(bytes: &[u8]) {
    let [first, second, bytes @ ..] = bytes else { return };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let deflate = first & 2 != 0;
    let bound = [1 << 20, 256, 4096, 125][usize::from(first >> 2 & 3)];
    // A message may be larger than a frame, and the other way round.
    let bounds = Bounds { frame: bound, message: if first & 16 == 0 { bound } else { 2 * bound } };
    let whole = feed(role, deflate, bounds, bytes.chunks(usize::MAX));
    let pieces = feed(role, deflate, bounds, bytes.chunks(usize::from(*second) + 1));
    assert_eq!(whole, pieces, "the pieces matter");
    for incoming in whole.0 {
        survives(role, bounds, incoming);
    }
}

fn feed<'a>(role: Role, deflate: bool, bounds: Bounds, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut inbound = Inbound::new(role, deflate);
    let (mut kept, mut incoming) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let (taken, came) = match inbound.push(&kept, bounds) {
                Ok(step) => step,
                Err(fault) => {
                    assert_eq!(inbound.held_bytes(), 0, "it holds what nobody will read");
                    return (incoming, Err(fault));
                }
            };
            kept.drain(..taken);
            // What cannot be compressed grows a little on its way; a buffer that grows doubles.
            let most = bounds.message + bounds.message / 64 + 64 + 125;
            assert!(inbound.held_bytes() <= 2 * most, "it holds {} bytes", inbound.held_bytes());
            let Some(came) = came else { break };
            incoming.push(came);
        }
        assert!(kept.len() < ws::HEAD_BYTES_MAX, "input was left over");
    }
    (incoming, Ok(inbound.is_idle() && kept.is_empty()))
}

/// What came in is within its bounds, and comes in again when it is sent by the other end.
fn survives(role: Role, bounds: Bounds, incoming: Incoming) {
    let (opcode, payload, most) = match &incoming {
        Incoming::Text(text) => (Opcode::Text, text.as_bytes().to_vec(), bounds.message),
        Incoming::Binary(bytes) => (Opcode::Binary, bytes.clone(), bounds.message),
        Incoming::Ping(bytes) => (Opcode::Ping, bytes.clone(), 125),
        Incoming::Pong(bytes) => (Opcode::Pong, bytes.clone(), 125),
        Incoming::Close(None) => (Opcode::Close, Vec::new(), 0),
        Incoming::Close(Some(Closing { code, reason })) => (Opcode::Close, ws::closing(*code, reason), 125),
    };
    assert!(payload.len() <= most, "{} bytes came in", payload.len());
    let mut bytes = Vec::new();
    match role {
        Role::Server => ws::write_masked(opcode, &payload, [1, 2, 0, 255], &mut bytes),
        Role::Client => ws::write(opcode, &payload, &mut bytes),
    }
    // Several frames may have made a message that is too large for one.
    let bounds = Bounds { frame: bounds.message, ..bounds };
    let (again, _) = feed(role, false, bounds, bytes.chunks(usize::MAX));
    assert_eq!(again, [incoming]);
}
