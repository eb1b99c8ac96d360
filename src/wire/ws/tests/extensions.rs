//! Offers of extensions: RFC 6455 section 9.1, RFC 7692 section 7.1.

use super::super::extensions::{Offer, offer};

const TAKEN: Option<Offer> = Some(Offer { names_window: false });
const TAKEN_WITH_WINDOW: Option<Offer> = Some(Offer { names_window: true });

#[test]
fn offers_are_taken_or_passed_by() {
    let table = [
        ("permessage-deflate", TAKEN),
        ("PerMessage-Deflate", TAKEN),
        ("permessage-deflate; client_max_window_bits", TAKEN),
        ("permessage-deflate;client_max_window_bits=8;server_no_context_takeover", TAKEN),
        ("permessage-deflate; client_no_context_takeover ; server_no_context_takeover", TAKEN),
        ("permessage-deflate; CLIENT_MAX_WINDOW_BITS=\"15\"", TAKEN),
        ("permessage-deflate; client_max_window_bits=\"1\\0\"", TAKEN),
        // What the window is has to be answered: section 7.1.2.1.
        ("permessage-deflate; server_max_window_bits=15", TAKEN_WITH_WINDOW),
        // Smaller than it is; without a value; values that are none.
        ("permessage-deflate; server_max_window_bits=14", None),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=015", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; client_max_window_bits=08", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_no_context_takeover=true", None),
        // Twice; not known.
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=9", None),
        ("permessage-deflate; client_no_context_takeover; Client_No_Context_Takeover", None),
        ("permessage-deflate; else", None),
        ("x-webkit-deflate-frame", None),
        ("bbf-usp-protocol; eid=\"doc\"", None),
        ("", None),
        (" , ,", None),
        // The first that can be taken.
        ("a, permessage-deflate; x=y, permessage-deflate", TAKEN),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=15",
            TAKEN_WITH_WINDOW,
        ),
        ("permessage-deflate, permessage-deflate; server_max_window_bits=15", TAKEN),
        ("\tpermessage-deflate\t", TAKEN),
        // Separators in quoted strings separate nothing, but then they are no tokens either.
        ("a;b=c, permessage-deflate ; client_max_window_bits = 9", TAKEN),
    ];
    for (value, expected) in table {
        assert_eq!(offer(value), Ok(expected), "{value}");
    }
}

/// RFC 6455 section 9.1: what does not fit the grammar fails the handshake, wherever in the list it stands.
#[test]
fn what_is_no_list_is_refused() {
    let wrong = [
        ";",
        "a;",
        "a;;b",
        "a b",
        "a;b=",
        "a;=b",
        "a;b=c=d",
        "a;b=\"\"",
        "a;b=\"c",
        "a;b=\"c d\"",
        "a;b=\"c,d\"",
        "a;b=\"c;d\"",
        "a;b=\"\\\"",
        "a;b=c\"d\"",
        "a/b",
        "\"a\"",
        "é",
        "a;b=é",
        "a;b=\"\\é\"",
        "permessage-deflate, a b",
    ];
    for value in wrong {
        let problem = offer(value).unwrap_err();
        assert_eq!((problem.status, problem.field), (400, Some("Sec-WebSocket-Extensions")), "{value}");
    }
}
