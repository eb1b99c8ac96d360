//! Bodies of lines: each line is published when it has come, and the answer tells of all of them at the end.
//!
//! While some lines are with the broker the connection is not read, so who publishes more than the server can take is slowed down. Lines are
//! refused for it only if the server takes nothing for five seconds.

use super::connection::{ConnectionKey, State};
use super::core::Core;
use super::v1::Uploader;
use crate::limits::{POST_ITEMS_MAX, POST_LINES_PAUSE_MS, RETRY_AFTER_S};
use crate::protocol::{Agent, Command, EndReason, ItemOutcome, Post, Posted, Problem, ReplyToken, Request};
use crate::time::Now;
use crate::wire::http::{HttpRequest, ReplyTo, RequestHead, Version};
use crate::wire::v1::{self, Lines, Summary};

/// A body of lines on its way in.
#[derive(Debug)]
pub(super) struct Upload {
    uploader: Uploader,
    lines: Lines,
    summary: Summary,
    /// Numbers of the lines that are with the broker.
    asked: Vec<u64>,
    reply: ReplyTo,
    /// Why the server takes no more of it.
    cut_off: Option<Problem>,
}

impl Upload {
    fn new(uploader: Uploader, head: &RequestHead) -> Self {
        let (lines, summary) = (Lines::default(), Summary::default());
        Self { uploader, lines, summary, asked: Vec::new(), reply: ReplyTo::from(head), cut_off: None }
    }

    /// What became of the lines that were with the broker.
    pub(super) fn absorb(&mut self, posted: &Posted) {
        let asked = std::mem::take(&mut self.asked);
        self.summary.absorb(&posted.outcomes, &asked);
    }

    /// None of them was taken, and no further one will be.
    pub(super) fn give_up(&mut self, problem: Problem) {
        let asked = std::mem::take(&mut self.asked);
        let refused = ItemOutcome { accepted: 0, refused: 1, problem: Some(problem.clone()) };
        self.summary.absorb(&vec![refused; asked.len()], &asked);
        self.cut_off = Some(problem);
    }
}

impl Core {
    /// Something of a body of lines has come. Begins with it if it has not begun.
    pub(super) fn take_piece(&mut self, now: Now, key: ConnectionKey) {
        let date = self.date(now);
        let routes = self.parts.routes.clone();
        let Some(connection) = self.connection(key) else { return };
        let has_begun = connection.upload().is_some();
        let Some((head, piece)) = connection.reader.take_piece() else { return };
        if !has_begun {
            match routes.upload(head, &date).map(|uploader| Upload::new(uploader, head)) {
                Ok(upload) => connection.begin_upload(upload),
                Err(answer) => return self.refuse_upload(now, key, &answer),
            }
        }
        let Some(upload) = connection.upload() else { return };
        // A line must be complete in the time of a pause: who sends byte by byte would hold a line of memory for as long as it likes.
        let is_fresh = upload.lines.is_between() || piece.contains(&b'\n');
        upload.lines.feed(&piece);
        if is_fresh {
            self.set_deadline(key, now.instant + POST_LINES_PAUSE_MS);
        }
    }

    /// A body of lines is complete, perhaps at once.
    pub(super) fn end_pieces(&mut self, now: Now, key: ConnectionKey, request: &HttpRequest) {
        let date = self.date(now);
        let routes = self.parts.routes.clone();
        let draining = self.draining;
        let Some(connection) = self.connection(key) else { return };
        if connection.upload().is_none() {
            match routes.upload(&request.head, &date) {
                Ok(uploader) => connection.begin_upload(Upload::new(uploader, &request.head)),
                Err(answer) => return self.refuse_upload(now, key, &answer),
            }
        }
        if let Some(upload) = connection.upload() {
            upload.reply.keep_alive &= !draining;
            upload.lines.feed(&request.body);
            upload.lines.finish();
        }
    }

    /// The request cannot be served: what else it brings is not read.
    fn refuse_upload(&mut self, now: Now, key: ConnectionKey, answer: &[u8]) {
        self.hub.counters_mut().requests_refused += 1;
        self.hub.counters_mut().denied += u64::from(answer.starts_with(b"HTTP/1.1 401 "));
        let Some(connection) = self.connection(key) else { return };
        connection.unsent.extend_from_slice(answer);
        connection.reply = ReplyTo { version: Version::Http11, keep_alive: false, to_head: false };
        connection.take_unread();
        self.answered(now, key);
    }

    /// Goes on with a body of lines: gives the broker what has come, or answers if that was all. Says whether it did something.
    pub(super) fn go_on_uploading(&mut self, now: Now, key: ConnectionKey) -> bool {
        self.serial = self.serial.wrapping_add(1);
        let (serial, core, draining) = (self.serial, self.parts.number, self.draining);
        let routes = self.parts.routes.clone();
        let Some(connection) = self.connection(key) else { return false };
        let Some(upload) = connection.upload() else { return false };
        if draining && upload.cut_off.is_none() {
            upload.give_up(Problem::new(503, EndReason::Shutdown.text()).retry_after(RETRY_AFTER_S));
        }
        let cut_off = upload.cut_off.is_some();
        let (mut items, numbers) = if cut_off { Default::default() } else { upload.lines.take(POST_ITEMS_MAX) };
        if items.is_empty() {
            let ends = cut_off || upload.lines.is_done();
            if ends {
                self.end_upload(now, key);
            }
            return ends;
        }
        routes.keep_secrets(&mut items);
        upload.asked = numbers;
        let agent = Agent { identity: upload.uploader.identity, ..Agent::default() };
        let path = std::sync::Arc::clone(&upload.uploader.path);
        connection.serial = serial;
        connection.state = State::Asked;
        let token = ReplyToken { core, connection: key.slot, serial };
        let command = Command::Post(Box::new(Post { items, list: true, key: None, publisher: None }));
        self.ask_after_letters(now, Request { token, command, path, chunked: true, agent, draw: [0; 2] });
        true
    }

    /// The rest of a body of lines cannot be read: its client is told why, and what was published before. Says whether there is such a body.
    pub(super) fn cut_upload_off(&mut self, now: Now, key: ConnectionKey, problem: Problem) -> bool {
        let Some(upload) = self.connection(key).and_then(|connection| connection.upload()) else { return false };
        upload.give_up(problem);
        self.end_upload(now, key);
        true
    }

    fn end_upload(&mut self, now: Now, key: ConnectionKey) {
        let date = self.date(now);
        let routes = self.parts.routes.clone();
        let Some(connection) = self.connection(key) else { return };
        let Some(upload) = connection.take_upload() else { return };
        let extra = routes.cross_origin_fields(upload.uploader.origin.as_deref());
        let mut reply = upload.reply;
        // What is left of a body that is not read cannot be told from a request.
        reply.keep_alive &= upload.cut_off.is_none();
        let out = &mut connection.unsent;
        let empty = || Problem::field("body", "The body has no lines: there is nothing to publish.");
        let problem = upload.cut_off.clone().or_else(|| upload.summary.is_empty().then(empty));
        let (posted, lines) = upload.summary.told();
        let text = v1::posted_text(posted, Some(lines), problem.as_ref());
        let (sent, refused) = (v1::write_posted(out, reply, &text, false, &date, &extra), text.status >= 400);
        connection.reply = ReplyTo { keep_alive: sent.keep_alive, ..reply };
        if upload.cut_off.is_some() {
            connection.take_unread();
        }
        self.hub.counters_mut().requests += 1;
        self.hub.counters_mut().requests_refused += u64::from(refused);
        self.answered(now, key);
    }
}
