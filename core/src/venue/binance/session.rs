//! Connections to the venue: wished for, subscribed, watched, replaced.
//!
//! Owns: [`Session`], which keeps one market link, one API link and, where there is an account, one order
//! link up. Does not: touch a socket (it asks through the outbox), decode, log on or know books; what changed
//! is told as [`Notice`]s.
//!
//! Each role has two slots, so that a link and its successor run side by side while one replaces the
//! other. One slot is the **main** one; the link in the other is its successor until it is ready,
//! then the slots swap and the old link retires after the overlap.
//!
//! | link | up | reply | refused, reply overdue | silent | down | rotation due, venue will close |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | `Connecting` | market: `Subscribing`; orders: `LoggingOn`; API: `Ready` | – | – | given up after the time-out | back-off | – |
//! | `Subscribing` | – | all in: `Ready` | closed, back-off | – | back-off | noted |
//! | `LoggingOn` | – | the engine says so: `Ready` | closed, back-off | – | back-off | noted |
//! | `Ready` | – | ignored | – | market: closed, at once | back-off | a successor is asked for |
//! | `Ready`, retiring | – | ignored | – | – | gone | – |
//!
//! An order link that is to retire stays while the engine keeps it ([`Session::keep_retiring`]): something on
//! it is unanswered. Both then hear the same user data, which the order machine recognises by its ids.
//!
//! A dash cannot happen or changes nothing. When the main link goes while another is there, that one
//! becomes the main link, be it a successor or one that was to retire. Events of links that we closed
//! ourselves name a generation that no slot holds, and are ignored.
//!
//! Invariants: at most [`crate::limits::STREAMS_PER_SUBSCRIBE_MAX`] names a message and three
//! messages a second and market connection ([`SUBSCRIBE_INTERVAL`]; nothing else is sent on one), which
//! leaves two of the venue's five to pongs; at most [`crate::limits::CONNECTS_ASKED_MAX`] connections in
//! 5 minutes; no two links ever share a generation. What order links may send is trading's business.

mod acts;
pub mod attempts;
mod role;
pub mod subscriptions;

use crate::config::LinkConfig;
use crate::event::{LinkDown, LinkId, LinkRole};
use crate::jitter::Jitter;
use crate::outbox::Outbox;
use crate::units::Nanos;
use crate::venue::binance::resync::{SOURCES, Source};
use attempts::Attempts;
use role::{Link, Phase, Role};
use subscriptions::Subscriptions;

/// Time between two messages of ours on one market connection.
pub const SUBSCRIBE_INTERVAL: Nanos = Nanos::from_ms(334);

/// How long a link must have been up for its loss to count as the first failure.
pub const SETTLED_AFTER: Nanos = Nanos::from_secs(60);

/// What changed, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A connection was asked for.
    Asked {
        /// Which one.
        link: LinkId,
        /// Whether one of its role was up before.
        again: bool,
    },
    /// A connection is up.
    Up {
        /// Which one.
        link: LinkId,
    },
    /// An order link is up and wants to be logged on.
    LogOn {
        /// Which one.
        link: LinkId,
    },
    /// A link does its work: it is subscribed, logged on, or takes requests.
    Ready {
        /// Which one.
        link: LinkId,
        /// Its slot.
        source: Source,
    },
    /// A link is gone, or did not come up.
    Down {
        /// Which one.
        link: LinkId,
        /// Its slot.
        source: Source,
        /// Why.
        cause: LinkDown,
        /// Whether another link of its role is ready.
        others_ready: bool,
    },
    /// A link was closed after its successor had run beside it for the whole overlap.
    Retired {
        /// Which one.
        link: LinkId,
        /// Its slot.
        old: Source,
        /// The slot of its successor.
        new: Source,
    },
    /// A subscription was not answered in time; the link is closed.
    SubscribeOverdue {
        /// Which one.
        link: LinkId,
    },
    /// The outbox had no room; what was to be sent is tried again.
    OutboxFull,
}

impl Notice {
    /// Which role it is about; `None` when it is about none.
    pub const fn role(&self) -> Option<LinkRole> {
        match self {
            Self::Asked { link, .. }
            | Self::Up { link }
            | Self::LogOn { link }
            | Self::Ready { link, .. }
            | Self::Down { link, .. }
            | Self::Retired { link, .. }
            | Self::SubscribeOverdue { link } => Some(link.role),
            Self::OutboxFull => None,
        }
    }
}

/// What an answer to a control message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeReply {
    /// It answers nothing that we wait for.
    Unknown,
    /// A part of our streams is subscribed.
    Accepted,
    /// The venue refused a part of our streams.
    Refused,
}

/// Everything about our connections; see the module's text.
#[derive(Clone, Debug)]
pub struct Session {
    config: LinkConfig,
    reply_timeout: Nanos,
    subscriptions: Subscriptions,
    roles: [Role; LinkRole::ALL.len()],
    attempts: Attempts,
    generation: u32,
    request_id: i64,
    jitter: Jitter,
    stopped: bool,
    /// Something could not be asked for: try again at the next tick.
    retry: bool,
}

impl Session {
    /// A session without links, which wants them all at once; an order link only where `orders` says that
    /// there is an account.
    pub fn new(
        config: LinkConfig,
        reply_timeout: Nanos,
        subscriptions: Subscriptions,
        orders: bool,
        jitter: Jitter,
    ) -> Self {
        let mut roles = LinkRole::ALL.map(|_| Role::new());
        if !orders {
            roles[LinkRole::Orders as usize].connect_at = Nanos::MAX;
        }
        Self {
            config,
            reply_timeout,
            subscriptions,
            roles,
            attempts: Attempts::default(),
            generation: 0,
            request_id: 0,
            jitter,
            stopped: false,
            retry: false,
        }
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Nanos, out: &mut Outbox, notices: &mut Vec<Notice>) {
        if self.stopped {
            return;
        }
        self.retry = false;
        for role in LinkRole::ALL {
            for slot in 0..SOURCES {
                self.tick_link(now, role, slot, out, notices);
            }
            self.retire(now, role, out, notices);
            self.connect(now, role, out, notices);
        }
    }

    /// A connection is up.
    pub fn link_up(
        &mut self,
        now: Nanos,
        link: LinkId,
        out: &mut Outbox,
        notices: &mut Vec<Notice>,
    ) {
        let Some(slot) = self.role(link.role).slot_of(link) else {
            return;
        };
        let age = self
            .config
            .rotate_after
            .since(self.jitter.below(self.config.rotate_jitter));
        let next_id = self.request_id + 1;
        let role = &mut self.roles[link.role as usize];
        role.was_up = true;
        let held = role.slots[slot].as_mut().expect("found above");
        held.heard_at = now;
        held.rotate_at = now.plus(age);
        notices.push(Notice::Up { link });
        match link.role {
            LinkRole::Market => {
                held.phase = Phase::Subscribing {
                    first_id: next_id,
                    sent: 0,
                    answered: 0,
                    next_at: now,
                    reply_by: Nanos::MAX,
                };
                self.request_id += self.subscriptions.count() as i64;
                self.tick_link(now, link.role, slot, out, notices);
            }
            LinkRole::Api => self.ready(now, link.role, slot, notices),
            LinkRole::Orders => {
                held.phase = Phase::LoggingOn {
                    reply_by: now.plus(self.reply_timeout),
                };
                notices.push(Notice::LogOn { link });
            }
        }
    }

    /// An order link is logged on and hears user data.
    pub fn logged_on(&mut self, now: Nanos, link: LinkId, notices: &mut Vec<Notice>) {
        if let Some(slot) = self.role(link.role).slot_of(link)
            && self.role(link.role).slots[slot]
                .is_some_and(|held| matches!(held.phase, Phase::LoggingOn { .. }))
        {
            self.ready(now, link.role, slot, notices);
        }
    }

    /// Whether the old order link has something unanswered on it and must not retire yet.
    pub fn keep_retiring(&mut self, kept: bool) {
        self.roles[LinkRole::Orders as usize].kept = kept;
    }

    /// The order link that is to retire, if there is one.
    pub fn retiring(&self) -> Option<LinkId> {
        let role = self.role(LinkRole::Orders);
        (role.retire_at != Nanos::MAX)
            .then(|| role.slots[role.other()].map(|link| link.id))
            .flatten()
    }

    /// A connection ended or did not come up; the edge has forgotten it.
    pub fn link_down(
        &mut self,
        now: Nanos,
        link: LinkId,
        cause: LinkDown,
        notices: &mut Vec<Notice>,
    ) {
        if let Some(slot) = self.role(link.role).slot_of(link) {
            self.lose(now, link.role, slot, cause, notices);
        }
    }

    /// Closes a link because of a fault; a new one is asked for after the back-off.
    pub fn fail(
        &mut self,
        now: Nanos,
        link: LinkId,
        cause: LinkDown,
        out: &mut Outbox,
        notices: &mut Vec<Notice>,
    ) {
        if let Some(slot) = self.role(link.role).slot_of(link) {
            self.close(now, link.role, slot, cause, out, notices);
        }
    }

    /// Asks for a successor of the main link, which goes when the successor has proved itself.
    pub fn replace(&mut self, role: LinkRole) {
        self.roles[role as usize].replace = true;
    }

    /// The venue will close this connection soon.
    pub fn venue_closes(&mut self, link: LinkId) {
        let role = self.role(link.role);
        if role.slot_of(link) == Some(role.main) {
            self.replace(link.role);
        }
    }

    /// Something arrived on a link: its slot, unless we do not hold it.
    #[inline]
    pub fn heard(&mut self, now: Nanos, link: LinkId) -> Option<Source> {
        let role = &mut self.roles[link.role as usize];
        for (slot, held) in role.slots.iter_mut().enumerate() {
            if let Some(held) = held
                && held.id == link
            {
                held.heard_at = now;
                return Some(Source::new(slot));
            }
        }
        None
    }

    /// A control message was answered.
    pub fn subscribe_reply(
        &mut self,
        now: Nanos,
        link: LinkId,
        id: Option<i64>,
        error: Option<i32>,
        notices: &mut Vec<Notice>,
    ) -> SubscribeReply {
        let count = self.subscriptions.count();
        let role = &mut self.roles[link.role as usize];
        let Some(slot) = role.slot_of(link) else {
            return SubscribeReply::Unknown;
        };
        let held = role.slots[slot].as_mut().expect("found above");
        let Phase::Subscribing {
            first_id,
            sent,
            answered,
            reply_by,
            ..
        } = &mut held.phase
        else {
            return SubscribeReply::Unknown;
        };
        let message = match id {
            Some(id) if (0..*sent as i64).contains(&(id - *first_id)) => (id - *first_id) as u32,
            // An error without a number can only be about what we last sent.
            None if error.is_some() => 0,
            Some(_) | None => return SubscribeReply::Unknown,
        };
        if error.is_some() {
            return SubscribeReply::Refused;
        }
        *answered |= 1 << message;
        if answered.count_ones() as usize == *sent {
            *reply_by = Nanos::MAX;
        }
        if answered.count_ones() as usize == count {
            self.ready(now, link.role, slot, notices);
        }
        SubscribeReply::Accepted
    }

    /// No connection of this role is asked for before `until`.
    pub fn hold(&mut self, role: LinkRole, until: Nanos) {
        let role = &mut self.roles[role as usize];
        role.connect_at = role.connect_at.max(until);
    }

    /// Closes all links; none is asked for before `until`.
    pub fn close_all(
        &mut self,
        now: Nanos,
        until: Nanos,
        out: &mut Outbox,
        notices: &mut Vec<Notice>,
    ) {
        for role in LinkRole::ALL {
            for slot in 0..SOURCES {
                if self.role(role).slots[slot].is_some() {
                    self.close(now, role, slot, LinkDown::Requested, out, notices);
                }
            }
            self.hold(role, until);
        }
    }

    /// Closes all links for good.
    pub fn stop(&mut self, now: Nanos, out: &mut Outbox, notices: &mut Vec<Notice>) {
        self.close_all(now, Nanos::MAX, out, notices);
        self.stopped = true;
    }

    /// The link that takes requests now.
    pub fn api(&self) -> Option<LinkId> {
        self.ready_link(LinkRole::Api)
    }

    /// The link that takes orders now.
    #[inline]
    pub fn orders(&self) -> Option<LinkId> {
        self.ready_link(LinkRole::Orders)
    }

    #[inline]
    fn ready_link(&self, role: LinkRole) -> Option<LinkId> {
        let role = self.role(role);
        role.slots[role.main]
            .filter(Link::is_ready)
            .map(|link| link.id)
    }

    /// The main link of a role, whatever its phase.
    pub fn main(&self, role: LinkRole) -> Option<LinkId> {
        let role = self.role(role);
        role.slots[role.main].map(|link| link.id)
    }

    /// Links of a role that are up.
    pub fn up_count(&self, role: LinkRole) -> usize {
        self.role(role)
            .slots
            .iter()
            .flatten()
            .filter(|link| !matches!(link.phase, Phase::Connecting { .. }))
            .count()
    }

    /// How long a request may wait for its answer.
    #[inline]
    pub fn reply_timeout(&self) -> Nanos {
        self.reply_timeout
    }

    /// The number of the next request, unique over all links.
    pub fn next_request_id(&mut self) -> i64 {
        self.request_id += 1;
        self.request_id
    }

    /// When to tick next; [`Nanos::MAX`] for never.
    pub fn due(&self) -> Nanos {
        if self.stopped {
            return Nanos::MAX;
        }
        if self.retry {
            return Nanos::ZERO;
        }
        self.roles
            .iter()
            .map(|role| self.role_due(role))
            .min()
            .expect("there are roles")
    }

    fn role_due(&self, role: &Role) -> Nanos {
        let mut due = role.retire_at;
        if role.wanted_slot().is_some() {
            due = due.min(role.connect_at.max(self.attempts.allowed_at()));
        }
        for (slot, link) in role.slots.iter().enumerate() {
            let Some(link) = link else { continue };
            let at = match link.phase {
                Phase::Connecting { until } => until,
                Phase::LoggingOn { reply_by } => reply_by,
                Phase::Subscribing {
                    sent,
                    next_at,
                    reply_by,
                    ..
                } => {
                    if sent < self.subscriptions.count() {
                        next_at.min(reply_by)
                    } else {
                        reply_by
                    }
                }
                Phase::Ready { .. } if slot != role.main => Nanos::MAX,
                Phase::Ready { .. } => {
                    let rotate_at = if role.replace {
                        Nanos::MAX
                    } else {
                        link.rotate_at
                    };
                    rotate_at.min(self.silent_at(link))
                }
            };
            due = due.min(at);
        }
        due
    }

    fn silent_at(&self, link: &Link) -> Nanos {
        match link.id.role {
            LinkRole::Market => link.heard_at.plus(self.config.silence_max),
            // Our own requests show whether a link of the API answers.
            LinkRole::Api | LinkRole::Orders => Nanos::MAX,
        }
    }

    fn role(&self, role: LinkRole) -> &Role {
        &self.roles[role as usize]
    }
}

#[cfg(test)]
mod tests;
