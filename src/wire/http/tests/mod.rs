//! The reader as a driver sees it.

mod keep_alive;
mod pieces;
mod table;

use super::{HttpError, HttpRequest, Phase, Progress, RequestReader};

/// What a connection's bytes come to: the requests, and the error or the phase at the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) requests: Vec<HttpRequest>,
    pub(super) end: Result<Phase, HttpError>,
}

/// Feeds `pieces` one after the other to one reader, like a connection.
pub(super) fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = RequestReader::new();
    let mut requests = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            match reader.push(piece) {
                Ok((taken, progress)) => {
                    assert!(taken > 0, "a push that takes nothing would spin");
                    piece = &piece[taken..];
                    match progress {
                        Progress::Complete(request) => requests.push(*request),
                        Progress::NeedMore | Progress::SendContinue => assert!(piece.is_empty(), "input was left over"),
                    }
                }
                Err(error) => return Outcome { requests, end: Err(error) },
            }
        }
    }
    Outcome { requests, end: Ok(reader.phase()) }
}
