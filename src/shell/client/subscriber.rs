//! `pushletd sub` at the Pushlet door: joins, subscribes, listens, prints; and does it again when the connection is lost.

use std::io::Write;
use std::time::Duration;

use super::backoff::Backoff;
use super::event::Event;
use super::link::{Line, Take, reason_of};
use super::printer::{Output, Printer};
use super::target::Target;
use super::trouble::Trouble;
use super::watch::Watch;
use crate::limits::CLIENT_BACKOFF_MAX_MS;
use crate::protocol::{Format, Mode};

/// What is wanted, checked.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Where.
    pub(super) target: Target,
    /// Which subjects, each of which may be a comma list.
    pub(super) subjects: Vec<String>,
    /// The session's format.
    pub(super) format: Format,
    /// How events are to travel.
    pub(super) mode: Mode,
    /// How they are printed.
    pub(super) output: Output,
    /// How many, if not for ever.
    pub(super) count: Option<u64>,
    /// The label of the subscriptions.
    pub(super) label: Option<String>,
    /// A data channel on which nothing comes for this long is given up.
    pub(super) silence: Duration,
}

/// One run.
struct Subscriber<'a> {
    wanted: &'a Wanted,
    watch: &'a Watch,
    out: Printer<'a>,
    control: Line<'a>,
    /// The session, if there is one.
    id: Option<String>,
    /// It has listened, so that it can go on with a refresh.
    listened: bool,
    /// Some session was joined in this run: so there is a Pushlet server at this address.
    joined_once: bool,
    /// The pause that the `refresh` event of the answer under way asks for.
    wait_ms: Option<u64>,
    backoff: Backoff,
}

/// Writes events to `out` until there are enough or the run is stopped.
///
/// # Errors
///
/// What makes further attempts senseless. [`Trouble::Stopped`] is not an error: it is how most runs end.
pub(super) fn run(wanted: &Wanted, watch: &Watch, seed: u64, out: &mut dyn Write) -> Result<(), Trouble> {
    let mut subscriber = Subscriber {
        wanted,
        watch,
        out: Printer::new(wanted.output, wanted.count, watch, out),
        control: Line::new(&wanted.target, watch),
        id: None,
        listened: false,
        joined_once: false,
        wait_ms: None,
        backoff: Backoff::new(seed),
    };
    let outcome = subscriber.go_on();
    let _ = subscriber.out.flush();
    subscriber.leave();
    match outcome {
        Err(Trouble::Stopped) | Ok(()) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

impl Subscriber<'_> {
    fn go_on(&mut self) -> Result<(), Trouble> {
        loop {
            let Err(trouble) = self.attempt() else { continue };
            let lost = match &trouble {
                Trouble::Stopped => return Err(trouble),
                Trouble::Link(_) => false,
                Trouble::Aborted(_) => true,
                refused if refused.is_unknown_session() => true,
                refused if refused.may_pass() => false,
                // A refresh that is refused: the session has forgotten that it listened.
                Trouble::Nack(_) if self.listened => true,
                Trouble::Nonsense(_) if self.joined_once => false,
                _ => return Err(trouble),
            };
            let had_session = self.id.is_some();
            if lost {
                self.id = None;
                self.listened = false;
            }
            let pause = self.backoff.pause(&trouble);
            let next = match (&self.id, had_session) {
                (None, true) => "joining again",
                (None, false) => "trying again",
                (Some(_), _) => "reconnecting",
            };
            self.watch.say(&format!("{trouble}; {next} in {:.1} s", pause.as_secs_f64()));
            self.watch.sleep(pause)?;
        }
    }

    /// One request of the data channel, with what must come before it.
    fn attempt(&mut self) -> Result<(), Trouble> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => self.join()?,
        };
        let mode = self.wanted.mode.name();
        let listen = [("p_event", "listen"), ("p_id", id.as_str()), ("p_mode", mode)];
        let refresh = [("p_event", "refresh"), ("p_id", id.as_str())];
        let fields: &[(&str, &str)] = if self.listened { &refresh } else { &listen };
        let (target, format, watch) = (&self.wanted.target, self.wanted.format, self.watch);
        self.wait_ms = None;
        let outcome = Line::new(target, watch).data(format, fields, self.wanted.silence, self);
        self.pause()?;
        outcome?;
        match self.wait_ms {
            Some(wait_ms) => watch.sleep(Duration::from_millis(wait_ms.min(3 * CLIENT_BACKOFF_MAX_MS))),
            None => Err(Trouble::Link("the server ended the stream".to_owned())),
        }
    }

    /// Begins a session and subscribes.
    fn join(&mut self) -> Result<String, Trouble> {
        let format = self.wanted.format;
        let acks = self.control.control(format, &[("p_event", "join"), ("p_format", format.name())])?;
        let id = acks.iter().find(|ack| ack.kind() == "join-ack").and_then(|ack| ack.get("p_id"));
        let id =
            id.ok_or_else(|| Trouble::Nonsense("it does not answer a join with a join-ack".to_owned()))?.to_owned();
        self.joined_once = true;
        match self.subscribe(&id) {
            Ok(()) => self.id = Some(id.clone()),
            // Half a session is none.
            Err(Trouble::Link(what)) => return Err(Trouble::Link(what)),
            Err(trouble) => {
                let _ = self.control.control(format, &[("p_event", "leave"), ("p_id", &id)]);
                return Err(trouble);
            }
        }
        Ok(id)
    }

    fn subscribe(&mut self, id: &str) -> Result<(), Trouble> {
        for subject in &self.wanted.subjects {
            let mut fields = vec![("p_event", "subscribe"), ("p_id", id), ("p_subject", subject)];
            fields.extend(self.wanted.label.as_ref().map(|label| ("p_label", label.as_str())));
            let acks = self.control.control(self.wanted.format, &fields)?;
            if !acks.iter().any(|ack| ack.kind() == "subscribe-ack") {
                return Err(Trouble::Nonsense("it does not answer a subscribe with a subscribe-ack".to_owned()));
            }
        }
        Ok(())
    }

    /// Ends the session, so that the server need not wait for it to expire. If that does not work, it will.
    fn leave(&mut self) {
        self.watch.begin_leaving();
        if let Some(id) = self.id.take() {
            let _ = self.control.control(self.wanted.format, &[("p_event", "leave"), ("p_id", &id)]);
        }
    }
}

impl Take for Subscriber<'_> {
    /// One event of the data channel.
    fn take(&mut self, event: Event) -> Result<(), Trouble> {
        // Any event may be the one that tells of a loss (rule P-30).
        self.out.tell_loss(&event);
        match event.kind() {
            "listen-ack" | "refresh-ack" => {
                self.listened = true;
                self.backoff.reset();
            }
            "refresh" => self.wait_ms = event.get("p_wait").and_then(|wait| wait.parse().ok()).or(Some(0)),
            "data" => self.out.print(&event)?,
            "abort" => return Err(Trouble::Aborted(reason_of(&event))),
            "nack" => return Err(Trouble::Nack(reason_of(&event))),
            _ => {}
        }
        Ok(())
    }

    /// Whoever reads our output gets what there is before we wait.
    fn pause(&mut self) -> Result<(), Trouble> {
        self.out.flush()
    }
}
