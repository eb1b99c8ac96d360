//! The rules, in order, and what they say.

use std::fmt;
use std::sync::Arc;

use super::keyring::UnknownKey;
use crate::limits::ECHO_CHARS_MAX;
use crate::protocol::Identity;
use crate::topic::Pattern;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To publish an event to a subject.
    Publish,
    /// To subscribe to a subject, a pattern or a prefix.
    Subscribe,
}

impl Action {
    const fn gerund(self) -> &'static str {
        match self {
            Self::Publish => "publishing to",
            Self::Subscribe => "subscribing to",
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Publish => "publish to",
            Self::Subscribe => "subscribe to",
        }
    }
}

/// Who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, with a key or without.
    Anyone,
    /// Who is in the list, which is sorted. It is empty for *nobody*.
    Holders(Arc<[Identity]>),
}

impl Who {
    /// Nobody at all.
    #[must_use]
    pub fn nobody() -> Self {
        Self::Holders(Arc::from([]))
    }

    /// The holders of these keys.
    #[must_use]
    pub fn holders(identities: impl IntoIterator<Item = Identity>) -> Self {
        let mut sorted: Vec<Identity> = identities.into_iter().filter(|identity| !identity.is_nobody()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self::Holders(Arc::from(sorted))
    }

    fn apart(&self) -> Self {
        match self {
            Self::Anyone => Self::Anyone,
            Self::Holders(holders) => Self::Holders(Arc::from(&**holders)),
        }
    }

    fn has(&self, identity: Identity) -> bool {
        match self {
            Self::Anyone => true,
            Self::Holders(holders) => holders.binary_search(&identity).is_ok(),
        }
    }

    const fn is_anyone(&self) -> bool {
        matches!(self, Self::Anyone)
    }
}

/// One `[[access]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The subjects that it decides, unless an earlier rule does.
    pub subject: Pattern,
    /// Who may publish to them.
    pub publish: Who,
    /// Who may subscribe to them.
    pub subscribe: Who,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// 401 where a key might help and none that is known was presented, 403 where the presented one lacks the right or none would help.
    pub status: u16,
    /// What is missing, a sentence without its full stop. Of keys it tells neither names nor secrets, and it repeats no more of a subject
    /// than [`ECHO_CHARS_MAX`] characters, without control characters. It is not escaped for HTML.
    pub reason: String,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Denied {}

impl From<UnknownKey> for Denied {
    fn from(unknown: UnknownKey) -> Self {
        Self { status: 401, reason: unknown.to_string() }
    }
}

/// What begins the subjects of presence: behind it stands the subject that it is about, with its slash.
const PRESENCE: &str = "$presence";

/// Who may do what, in the whole server.
///
/// The first rule whose pattern matches a subject decides. Where none does: anyone may subscribe, and publish who can reach a server that
/// only this machine reaches, otherwise who holds any key. Subjects that begin with `$` belong to the server; that no client publishes
/// there is the broker's business.
#[derive(Clone, Debug)]
pub struct Access {
    rules: Vec<Rule>,
    /// Who may publish where no rule decides.
    publish: Who,
    /// Whether there are keys at all.
    keyed: bool,
    /// Invariant: whether every rule lets anyone subscribe.
    open_to_read: bool,
}

/// Without a rule, on a server that only this machine reaches.
impl Default for Access {
    fn default() -> Self {
        Self::new(Vec::new(), [], true)
    }
}

impl Access {
    /// `rules` in the order of the file; `keys` are the identities of all keys that there are; `loopback` says whether every listener is
    /// for this machine alone.
    #[must_use]
    pub fn new(rules: Vec<Rule>, keys: impl IntoIterator<Item = Identity>, loopback: bool) -> Self {
        let any_key = Who::holders(keys);
        let keyed = any_key != Who::nobody();
        let open_to_read = rules.iter().all(|rule| rule.subscribe.is_anyone());
        Self { rules, publish: if loopback { Who::Anyone } else { any_key }, keyed, open_to_read }
    }

    /// A copy whose lists are its own. [`Readers`] count references to lists; a core must not count together with others.
    #[must_use]
    pub fn apart(&self) -> Self {
        let rule = |rule: &Rule| {
            let subject = rule.subject.clone();
            Rule { subject, publish: rule.publish.apart(), subscribe: rule.subscribe.apart() }
        };
        Self { rules: self.rules.iter().map(rule).collect(), publish: self.publish.apart(), ..*self }
    }

    /// Whether everybody may read everything: then no delivery needs to ask.
    #[must_use]
    pub const fn is_open_to_read(&self) -> bool {
        self.open_to_read
    }

    /// Whether everybody may publish where no rule decides.
    #[must_use]
    pub const fn is_open_by_default(&self) -> bool {
        self.publish.is_anyone()
    }

    /// Whether `identity` may do `action` with `subject`. For a subscription that is the text which was asked for, be it a subject, a pattern or a
    /// prefix: it is looked up as if it were a subject. What else it covers is settled at delivery ([`Access::readers`]).
    ///
    /// # Errors
    ///
    /// [`Denied`], with what is missing.
    pub fn may(&self, identity: Identity, action: Action, subject: &str) -> Result<(), Denied> {
        let (who, behind) = match action {
            Action::Publish => (self.who(action, subject), None),
            Action::Subscribe => (self.who(action, subject), presence_of(subject)),
        };
        if !who.has(identity) {
            return Err(self.deny(identity, action, subject, who));
        }
        match behind.map(|behind| (behind, self.who(action, behind))) {
            Some((behind, who)) if !who.has(identity) => Err(self.deny(identity, action, behind, who)),
            _ => Ok(()),
        }
    }

    /// Who may see an event of `subject`: the same as [`Access::may`] says of subscribing to it.
    #[must_use]
    pub fn readers(&self, subject: &str) -> Readers {
        if self.open_to_read {
            return Readers { subject: Who::Anyone, behind: Who::Anyone };
        }
        let who = |subject| self.who(Action::Subscribe, subject).clone();
        Readers { subject: who(subject), behind: presence_of(subject).map_or(Who::Anyone, who) }
    }

    fn rule(&self, subject: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.subject.matches(subject))
    }

    fn who(&self, action: Action, subject: &str) -> &Who {
        match (action, self.rule(subject)) {
            (Action::Publish, Some(rule)) => &rule.publish,
            (Action::Publish, None) => &self.publish,
            (Action::Subscribe, Some(rule)) => &rule.subscribe,
            (Action::Subscribe, None) => &Who::Anyone,
        }
    }

    fn deny(&self, identity: Identity, action: Action, subject: &str, who: &Who) -> Denied {
        let shown = shown(subject);
        let (doing, to_do) = (action.gerund(), action.verb());
        let helps = *who != Who::nobody();
        if !identity.is_nobody() && helps {
            return Denied { status: 403, reason: format!("the key that was presented may not {to_do} {shown}") };
        }
        if helps {
            let ways = "Authorization: Bearer KEY, or the query parameter key (p_key at the Pushlet door)";
            return Denied { status: 401, reason: format!("{doing} {shown} needs a key: {ways}") };
        }
        // Without keys nobody holds any, and the operator should hear that it is not a rule that says no.
        let unkeyed = action == Action::Publish && !self.keyed && self.rule(subject).is_none();
        let reason = if unkeyed {
            format!("{doing} {shown} needs a key, and this server has none yet")
        } else {
            format!("nobody may {to_do} {shown}")
        };
        Denied { status: 403, reason }
    }
}

/// Who may see an event: asked once for each session, settled when the event is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readers {
    subject: Who,
    /// Who may see what the event is about, if its subject is one of presence.
    behind: Who,
}

impl Readers {
    /// Whether everybody may.
    #[must_use]
    pub const fn is_anyone(&self) -> bool {
        self.subject.is_anyone() && self.behind.is_anyone()
    }

    /// Whether `identity` may.
    #[must_use]
    pub fn has(&self, identity: Identity) -> bool {
        self.subject.has(identity) && self.behind.has(identity)
    }
}

/// The subject behind one of presence: `/rooms/1` behind `$presence/rooms/1`.
fn presence_of(subject: &str) -> Option<&str> {
    subject.strip_prefix(PRESENCE).filter(|behind| behind.starts_with('/'))
}

/// As much of a subject as an answer repeats.
fn shown(subject: &str) -> String {
    let plain = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    subject.chars().take(ECHO_CHARS_MAX).map(plain).collect()
}
