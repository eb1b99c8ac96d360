//! What the reader makes of bytes does not depend on the pieces they come in.

use proptest::prelude::*;

use super::super::{HttpError, Phase, Progress, RequestReader, chunk};
use super::feed;

/// Cuts `bytes` at `cuts`, which are taken modulo the length.
fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Lines that are good, bad and in between, so that a random sequence of them is often nearly a request.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let parts: [&[u8]; 40] = [
        b"GET / HTTP/1.1\r\n",
        b"POST /pushlet.srv?p_event=x HTTP/1.1\r\n",
        b"HEAD /a HTTP/1.0\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"GET / HTTP/2.0\r\n",
        b"get / HTTP/1.1\r\n",
        b"Host: h\r\n",
        b"Host: h\r\n",
        b"Host: h\r\n",
        b"Host : h\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: +1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"User-Agent: Java/17\r\n",
        b"X: \xe9\r\n",
        b" folded\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"hello",
        b"5\r\nhello\r\n",
        b"5;ext=1\r\nhello\r\n",
        b"0\r\n",
        b"0\r\n\r\n",
        b"0\r\nA: b\r\n\r\n",
        b"g\r\n",
        b"\0",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"CONNECT h:1 HTTP/1.1\r\n",
    ];
    prop_oneof![
        20 => prop::sample::select(parts.map(<[u8]>::to_vec).to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6)
}

fn chunked(pieces: &[Vec<u8>], extension: &str, trailer: &str) -> Vec<u8> {
    let mut bytes = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in pieces {
        if extension.is_empty() {
            chunk(piece, &mut bytes);
        } else {
            bytes.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(format!("0{extension}\r\n{trailer}\r\n").as_bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Requests, errors and the phase are the same whole, byte by byte and in random pieces.
    #[test]
    fn pieces_do_not_matter(parts in prop::collection::vec(part(), 0..14), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let bytes = parts.concat();
        let whole = feed([&*bytes]);
        prop_assert_eq!(&whole, &feed(bytes.chunks(1)));
        prop_assert_eq!(&whole, &feed(cut(&bytes, &cuts)));
    }

    /// What our own writer frames as chunks, the reader decodes to the same bytes, with extensions and trailers dropped.
    #[test]
    fn a_chunked_body_comes_out_as_it_went_in(
        pieces in bodies(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        extension in prop::sample::select(vec!["", ";a=b", " ; c=\"d\""]),
        trailer in prop::sample::select(vec!["", "A: b\r\n", "Host: evil\r\nContent-Length: 3\r\n"]),
    ) {
        let bytes = chunked(&pieces, extension, trailer);
        let outcome = feed(cut(&bytes, &cuts));
        prop_assert_eq!(outcome.end, Ok(Phase::Idle));
        prop_assert_eq!(outcome.requests.len(), 1);
        prop_assert_eq!(&outcome.requests[0].body, &pieces.concat());
        prop_assert_eq!(outcome.requests[0].head.host.as_deref(), Some("h"));
    }

    /// Pipelined requests come out one by one: a push never takes a byte of the next.
    #[test]
    fn a_push_takes_exactly_one_request(bodies in bodies(), methods in prop::collection::vec(0..4_usize, 6)) {
        let mut stream = Vec::new();
        let mut ends = Vec::new();
        for (body, &method) in bodies.iter().zip(&methods) {
            match method {
                0 => stream.extend_from_slice(&chunked(std::slice::from_ref(body), "", "")),
                _ => {
                    let method = ["", "GET", "POST", "HEAD"][method];
                    let head = format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
                    stream.extend_from_slice(head.as_bytes());
                    stream.extend_from_slice(body);
                }
            }
            ends.push(stream.len());
        }
        let mut reader = RequestReader::new();
        let mut at = 0;
        for (index, end) in ends.into_iter().enumerate() {
            let (taken, progress) = reader.push(&stream[at..])?;
            at += taken;
            prop_assert_eq!(at, end);
            prop_assert_eq!(reader.phase(), Phase::Idle);
            let Progress::Complete(request) = progress else { panic!("not complete") };
            // RFC 9110 section 9.3.1: the content of a GET or HEAD is read and dropped.
            let kept = if matches!(methods[index], 0 | 2) { &*bodies[index] } else { &[] };
            prop_assert_eq!(&*request.body, kept);
        }
        prop_assert_eq!(reader.push(&stream[at..])?.0, 0);
    }

    /// No bytes at all make the reader panic or spin.
    #[test]
    fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        feed([&*bytes]);
    }
}

/// The driver sets its deadlines by the phase.
#[test]
fn the_phase_follows_the_bytes() {
    let mut reader = RequestReader::new();
    let mut phases = Vec::new();
    for piece in ["\r", "\n", "P", "OST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r", "\n", "a", "b"] {
        reader.push(piece.as_bytes()).unwrap();
        phases.push(reader.phase());
    }
    use Phase::{Body, Head, Idle};
    assert_eq!(phases, [Idle, Idle, Head, Head, Body, Body, Idle]);
}

/// An error is final: nothing that follows is read as a request.
#[test]
fn an_error_is_final() {
    let mut reader = RequestReader::new();
    let error = reader.push(b"get / HTTP/1.1\r\n").unwrap_err();
    assert_eq!(error.status, 400);
    assert_eq!(reader.push(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Err(error));
    assert_eq!(reader.phase(), Phase::Idle);
}

/// An idle connection has a reader and no buffer: the memory target of the design counts on it.
#[test]
fn an_idle_reader_is_small() {
    assert!(size_of::<RequestReader>() <= 40, "{}", size_of::<RequestReader>());
    assert!(size_of::<HttpError>() <= 24, "{}", size_of::<HttpError>());
}

/// A length that is only announced takes no memory; what came does, at most twice over; a dropped body takes none.
#[test]
fn memory_is_held_for_what_came_only() {
    let head = |method: &str| format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n");
    let mut reader = RequestReader::new();
    assert_eq!(reader.held_bytes(), 0);
    reader.push(&head("POST").as_bytes()[..9]).unwrap();
    assert!((9..64).contains(&reader.held_bytes()));
    reader.push(&head("POST").as_bytes()[9..]).unwrap();
    assert_eq!(reader.held_bytes(), 0, "the head is parsed, the body only announced");
    reader.push(&[b'x'; 1_000]).unwrap();
    assert!((1_000..=2_000).contains(&reader.held_bytes()));
    reader.push(&[b'x'; 198_999]).unwrap();
    let (_, progress) = reader.push(b"x").unwrap();
    let Progress::Complete(request) = progress else { panic!("not complete") };
    assert_eq!((request.body.len(), reader.held_bytes()), (200_000, 0));

    reader.push(head("GET").as_bytes()).unwrap();
    reader.push(&[b'x'; 199_999]).unwrap();
    assert_eq!((reader.phase(), reader.held_bytes()), (Phase::Body, 0));
}
