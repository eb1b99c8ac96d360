//! A stream is written by the core of its session, so its connection goes there (invariant A3).
//!
//! The sender stops watching the socket, sends its descriptor through the receiver's socket and, behind it, a letter with all that is known
//! of the connection. It keeps its own descriptor until the receiver has answered: a hand-over that fails is a 503, never silence.

use super::connection::{ConnectionKey, Kind, State};
use super::core::{Core, watch};
use crate::broker::{Answer, Arrival};
use crate::limits::{DEPARTURES_PER_TURN_MAX, OVERLOAD_MS, RETRY_AFTER_S};
use crate::protocol::{ReplyToken, Request};
use crate::time::{Instant, Now};

/// A connection that is to go to another core.
#[derive(Debug)]
pub(super) struct Departure {
    key: ConnectionKey,
    to: u16,
    /// What it waits for; `None` when it has been sent along.
    request: Option<Request>,
    /// Its earlier answers are written: it stands in the line of those that can go.
    in_line: bool,
}

impl Core {
    /// Core `to` wants the connection of the request `token`.
    pub(super) fn depart(&mut self, now: Now, to: u16, token: ReplyToken, request: Request) {
        let Some((key, _)) = self.asking(token) else { return };
        let ticket = self.departures.begin(Departure { key, to, request: Some(request), in_line: false });
        if let Some(connection) = self.connection(key) {
            connection.state = State::Leaving(ticket);
        }
        self.set_deadline(key, now.instant + OVERLOAD_MS);
        self.line_up(now, ticket);
    }

    /// A connection can go when its earlier answers are written. Until then it holds up nobody.
    pub(super) fn line_up(&mut self, now: Now, ticket: u32) {
        let Some(&mut Departure { key, in_line, .. }) = self.departures.get_mut(ticket) else { return };
        let Some(connection) = self.connection(key) else { return };
        if in_line || (!connection.unsent.is_empty() && !self.write_out(now, key)) {
            return;
        }
        if let Some(departure) = self.departures.get_mut(ticket) {
            departure.in_line = true;
            self.departure_line.push_back(ticket);
        }
        self.depart_waiting(now);
    }

    /// Sends off the connections that can go, as far as there is room on the way.
    pub(super) fn depart_waiting(&mut self, now: Now) {
        let mut kept = Vec::new();
        for _ in 0..DEPARTURES_PER_TURN_MAX {
            if !self.departures.may_send() {
                break;
            }
            let Some(ticket) = self.departure_line.pop_front() else { break };
            // Another core may have room.
            if !self.send_off(now, ticket) {
                kept.push(ticket);
            }
        }
        for ticket in kept.into_iter().rev() {
            self.departure_line.push_front(ticket);
        }
    }

    /// Says whether there may be room for another one.
    fn send_off(&mut self, now: Now, ticket: u32) -> bool {
        // One that has gone or was given up still stands in line.
        let Some(&mut Departure { key, to, .. }) = self.departures.get_mut(ticket) else { return true };
        let wiring = std::sync::Arc::clone(&self.parts.wiring);
        let number = self.parts.number;
        let Some(connection) = self.connections.get_mut(key.slot as usize) else { return true };
        match wiring.send(to, number, ticket, &connection.socket) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be handed over");
                self.give_up_departure(now, ticket);
                return true;
            }
        }
        // Its readiness would be told here as long as the socket is open anywhere.
        let unwatched = rustix::event::epoll::delete(&self.epoll, &connection.socket);
        debug_assert!(unwatched.is_ok(), "it was not watched");
        let request = self.departures.get_mut(ticket).and_then(|departure| departure.request.take());
        self.departures.sent(ticket);
        let Some(request) = request else { return true };
        let arrival = Arrival {
            ticket,
            request,
            reply: connection.reply,
            origin: connection.take_origin(),
            unread: connection.take_unread(),
            peer_finished: connection.peer_finished,
        };
        self.set_deadline(key, Instant::NEVER);
        self.hub.counters_mut().handovers_out += 1;
        self.hub.hand_over(to, Box::new(arrival));
        true
    }

    /// It has waited too long for room.
    pub(super) fn give_up_departure(&mut self, now: Now, ticket: u32) {
        let Some(&mut Departure { key, .. }) = self.departures.get_mut(ticket) else { return };
        if self.departures.cancel(ticket).is_some() {
            self.refuse_departure(now, key);
        }
    }

    /// What became of a connection that was sent off.
    pub(super) fn arrived(&mut self, now: Now, ticket: u32, taken: bool) {
        let Some(Departure { key, .. }) = self.departures.answered(ticket) else { return };
        if taken {
            // The other core's descriptor keeps the connection open.
            return self.close(now, key);
        }
        let Some(connection) = self.connections.get(key.slot as usize) else { return };
        match watch(&self.epoll, &connection.socket, key) {
            Ok(()) => self.refuse_departure(now, key),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be watched again and is closed");
                self.close(now, key);
            }
        }
    }

    /// Says so to the client. What it sends behind its request may have gone with the letter, so the connection ends with this answer.
    fn refuse_departure(&mut self, now: Now, key: ConnectionKey) {
        self.hub.counters_mut().handovers_failed += 1;
        let core = self.parts.number;
        let Some(connection) = self.connection(key) else { return };
        connection.state = State::Asked;
        connection.reply.keep_alive = false;
        let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
        let reason = String::from("The core that holds the session cannot take the connection at the moment.");
        self.answer(now, token, Answer::Error { status: 503, reason, retry_after_s: Some(RETRY_AFTER_S) });
    }

    /// A connection comes from core `from`.
    pub(super) fn arrive(&mut self, now: Now, from: u16, arrival: Arrival) {
        let (wiring, number, ticket) = (&self.parts.wiring, self.parts.number, arrival.ticket);
        let socket = self.arrivals.claim(from, ticket, || wiring.receive(number));
        let has_room = self.counts[Kind::Client as usize] < self.parts.connections_max;
        // It is counted here before its old core counts it off: a full node takes it all the same.
        self.parts.node.move_in();
        let key = match socket.filter(|_| has_room) {
            Some(socket) => self.take_in(socket, Kind::Client),
            None => {
                self.parts.node.leave();
                None
            }
        };
        self.hub.handle_arrived(from, ticket, key.is_some());
        let Some(key) = key else { return };
        self.hub.counters_mut().handovers_in += 1;
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        if let Some(connection) = self.connection(key) {
            connection.state = State::Asked;
            connection.serial = serial;
            connection.reply = arrival.reply;
            connection.set_origin(arrival.origin);
            connection.keep_unread(&arrival.unread);
            connection.peer_finished = arrival.peer_finished;
            // Bytes may have come while nobody watched; the set tells them again, and whether the socket takes bytes too.
            connection.readable = true;
        }
        let mut request = arrival.request;
        request.token = ReplyToken { core: number, connection: key.slot, serial };
        // What comes of it is applied by whoever applies this: connections may come by the hundred.
        self.hub.handle_request(now, request);
        self.go_on_later(key);
    }
}
