//! The books of a hand-over, one at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::handover::{Arrivals, Departures};
use crate::limits::HANDOVERS_MAX;

type Datagram = (u16, u32, Option<Arc<()>>);

#[test]
fn descriptors_wait_for_their_letters() {
    let open = Arc::new(());
    let with = |from, ticket| (from, ticket, Some(Arc::clone(&open)));
    let mut socket: VecDeque<Datagram> = VecDeque::from([with(1, 7), (2, 7, None), with(2, 8), with(1, 8)]);
    let mut arrivals = Arrivals::new();
    assert!(arrivals.claim(2, 8, || socket.pop_front()).is_some());
    assert_eq!(socket.len(), 1, "not more is read than needed");
    assert!(!arrivals.is_empty());
    assert!(arrivals.claim(2, 7, || unreachable!("it is here already")).is_none(), "it came without descriptor");
    assert!(arrivals.claim(1, 7, || unreachable!("it is here already")).is_some());
    assert!(arrivals.is_empty());
    assert!(arrivals.claim(1, 8, || socket.pop_front()).is_some());
    assert_eq!(Arc::strong_count(&open), 1);
}

#[test]
fn a_descriptor_that_nobody_wants_is_closed_whenever_it_comes() {
    let open = Arc::new(());
    let with = |ticket| Some((0, ticket, Some(Arc::clone(&open))));
    let mut arrivals = Arrivals::new();
    let mut socket = VecDeque::from([with(1), with(2), with(3)]);
    arrivals.forget(0, 1);
    assert!(arrivals.claim(0, 3, || socket.pop_front().flatten()).is_some());
    assert!(!arrivals.is_empty(), "2 waits");
    arrivals.forget(0, 2);
    assert!(arrivals.is_empty());
    assert!(arrivals.claim(0, 4, || None).is_none(), "against the order: its letter came first");
    let mut late = VecDeque::from([with(4), with(5)]);
    assert!(arrivals.claim(0, 5, || late.pop_front().flatten()).is_some());
    assert!(arrivals.is_empty());
    assert_eq!(Arc::strong_count(&open), 1);
}

#[test]
fn a_ticket_is_unwanted_once() {
    let mut arrivals = Arrivals::new();
    arrivals.forget(0, 1);
    let mut socket = VecDeque::from([(0, 1, Some(())), (0, 1, Some(())), (0, 2, Some(()))]);
    assert!(arrivals.claim(0, 2, || socket.pop_front()).is_some());
    assert!(arrivals.claim(0, 1, || None).is_some(), "the same number of a later round");
}

#[test]
fn the_notes_of_unwanted_tickets_are_bounded() {
    let mut arrivals = Arrivals::new();
    let count = u32::try_from(HANDOVERS_MAX).unwrap();
    for ticket in 0..=count {
        arrivals.forget(3, ticket);
    }
    // The oldest note is gone, the newest is there.
    let mut socket = VecDeque::from([(3, 0, Some(())), (3, count, Some(())), (3, 1000, Some(()))]);
    assert!(arrivals.claim(3, 1000, || socket.pop_front()).is_some());
    assert!(arrivals.claim(3, 0, || None).is_some());
    assert!(arrivals.is_empty());
}

#[test]
fn a_departure_waits_is_sent_and_is_answered() {
    let mut departures = Departures::new();
    let (a, b, c) = (departures.begin('a'), departures.begin('b'), departures.begin('c'));
    assert_eq!(departures.waiting().map(|(_, kept)| *kept).collect::<String>(), "abc");
    assert_eq!(departures.answered(a), None, "it was not sent");
    departures.sent(b);
    assert_eq!(departures.waiting().collect::<Vec<_>>(), [(a, &'a'), (c, &'c')]);
    assert_eq!(departures.cancel(b), None, "it is the receiver's");
    assert_eq!((departures.get(b), departures.get(a)), (Some(&'b'), Some(&'a')));
    assert_eq!(departures.cancel(a), Some('a'));
    assert_eq!((departures.cancel(a), departures.get(a)), (None, None));
    assert_eq!(departures.len(), 2);
    assert_eq!(departures.answered(b), Some('b'));
    assert_eq!(departures.answered(b), None);
    departures.sent(c);
    assert_eq!(departures.answered(c), Some('c'));
    assert!(departures.is_empty());
}

#[test]
fn so_many_may_be_under_way() {
    let mut departures = Departures::new();
    let tickets: Vec<u32> = (0..=HANDOVERS_MAX).map(|number| departures.begin(number)).collect();
    for ticket in &tickets[..HANDOVERS_MAX] {
        assert!(departures.may_send());
        departures.sent(*ticket);
    }
    assert!(!departures.may_send());
    assert_eq!(departures.len(), HANDOVERS_MAX + 1);
    assert_eq!(departures.answered(tickets[5]), Some(5));
    assert!(departures.may_send());
}

#[test]
fn tickets_wrap_and_skip_those_in_use() {
    let mut departures = Departures::new();
    departures.next = u64::from(u32::MAX) - 1;
    let old = departures.begin("old");
    let last = departures.begin("last");
    let zero = departures.begin("zero");
    assert_eq!((old, last, zero), (u32::MAX - 1, u32::MAX, 0));
    departures.sent(last);
    assert_eq!(departures.waiting().map(|(ticket, _)| ticket).collect::<Vec<_>>(), [old, zero], "in order");
    assert_eq!(departures.get(7), None);
    assert_eq!(departures.get(old), Some(&"old"));

    // A whole round later two of them are still open.
    departures.next = (1 << 33) - 2;
    assert_eq!(departures.begin("next"), 1, "three tickets are in use");
    assert_eq!((departures.cancel(old), departures.cancel(1)), (Some("old"), Some("next")));
    assert_eq!((departures.answered(last), departures.cancel(zero)), (Some("last"), Some("zero")));
    assert!(departures.is_empty());
}
