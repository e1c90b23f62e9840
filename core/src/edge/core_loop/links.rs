//! The links that are up, the wishes that are not answered yet, and what the connector is told.
//!
//! Links and wishes together are never more than [`LINKS_MAX`], so an answer always finds a slot.
//! Performs the actions of an outbox; a link that breaks on the way is taken out and its end is kept
//! for the engine to hear ([`Links::next_fallen`]).

use std::collections::VecDeque;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rtrb::{Producer, PushError};

use crate::edge::connector::ToConnector;
use crate::edge::link::Link;
use crate::event::{LinkDown, LinkId, LinkRole};
use crate::limits::{CONNECTOR_MESSAGES_MAX, ENDS_PER_EVENT_MAX, LINKS_MAX};
use crate::outbox::{Action, Outbox};
use crate::wire::websocket::CloseCode;

/// From this many links on, one poll costs less than an empty read of each.
pub(super) const POLLED_LINKS_MIN: usize = 3;

/// The waker's token; generations of links are 32 bits wide.
pub(super) const WAKER: Token = Token(usize::MAX);

/// A link that is up.
pub(super) struct Slot {
    pub(super) link: Box<Link>,
    /// Readiness was seen since the link was last dry. Readiness comes once: only a dry link clears it.
    pub(super) ready: bool,
    /// Whether the engine believes that the kernel has not taken everything.
    blocked: bool,
}

pub(super) struct Links {
    slots: [Option<Slot>; LINKS_MAX],
    wishes: [Option<LinkId>; LINKS_MAX],
    /// Ends that the engine has not heard of.
    fallen: VecDeque<(LinkId, LinkDown)>,
    to_connector: Producer<ToConnector>,
    /// What the ring to the connector had no room for.
    unsaid: VecDeque<ToConnector>,
    poll: Poll,
    poll_events: Events,
    /// An order link may be blocked, or free again, and the engine does not know.
    block_changed: bool,
    /// Bytes received and sent by links that are gone.
    bytes_of_retired: (u64, u64),
}

impl Links {
    pub(super) fn new(poll: Poll, to_connector: Producer<ToConnector>) -> Self {
        Self {
            slots: [const { None }; LINKS_MAX],
            wishes: [None; LINKS_MAX],
            fallen: VecDeque::with_capacity(ENDS_PER_EVENT_MAX),
            to_connector,
            unsaid: VecDeque::with_capacity(CONNECTOR_MESSAGES_MAX),
            poll,
            poll_events: Events::with_capacity(2 * LINKS_MAX),
            block_changed: false,
            bytes_of_retired: (0, 0),
        }
    }

    /// Performs actions in their order.
    pub(super) fn perform(&mut self, outbox: &Outbox) {
        for action in outbox.actions() {
            match action {
                Action::Send { link, message } => {
                    // A link that is gone has its end waiting in `fallen`: the engine will hear.
                    if let Some(slot) = self.find(link) {
                        match slot.link.send(message) {
                            Ok(()) => {
                                let differs = slot.link.has_unsent() != slot.blocked;
                                self.block_changed |= differs && link.role == LinkRole::Orders;
                            }
                            Err(cause) => self.fall(link, cause),
                        }
                    }
                }
                Action::Connect { link } => {
                    if self.wish(link) {
                        self.say(ToConnector::Connect(link));
                    } else {
                        // No slot is left for it: an attempt that failed.
                        self.fallen.push_back((link, LinkDown::Connect));
                    }
                }
                Action::Close { link, .. } => {
                    if self.forget_wish(link) {
                        self.say(ToConnector::Forget(link));
                    }
                    if let Some(link) = self.take(link) {
                        self.retire(link, true);
                    }
                }
            }
        }
    }

    /// Takes a broken link out; its end waits for [`Links::next_fallen`].
    #[cold]
    pub(super) fn fall(&mut self, link: LinkId, cause: LinkDown) {
        if let Some(link) = self.take(link) {
            self.retire(link, false);
        }
        self.fallen.push_back((link, cause));
    }

    /// The next end that the engine has not heard of.
    #[inline]
    pub(super) fn next_fallen(&mut self) -> Option<(LinkId, LinkDown)> {
        self.fallen.pop_front()
    }

    /// The next order link that the kernel blocks, or blocks no longer, and of which the engine has not heard.
    #[inline]
    pub(super) fn next_block_change(&mut self) -> Option<(LinkId, bool)> {
        if !self.block_changed {
            return None;
        }
        for slot in self.slots.iter_mut().flatten() {
            let (id, blocked) = (slot.link.id(), slot.link.has_unsent());
            if id.role == LinkRole::Orders && slot.blocked != blocked {
                slot.blocked = blocked;
                return Some((id, blocked));
            }
        }
        self.block_changed = false;
        None
    }

    /// Has the next call of [`Links::next_block_change`] look at every order link.
    pub(super) fn look_for_blocks(&mut self) {
        self.block_changed = true;
    }

    /// Takes in a link whose wish was just taken back; `false` when the poll does not take its socket.
    pub(super) fn adopt(&mut self, mut link: Box<Link>) -> bool {
        let token = Token(link.id().generation as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self
            .poll
            .registry()
            .register(link.socket_mut(), token, interest);
        if registered.is_err() {
            self.retire(link, true);
            return false;
        }
        let free = self.slots.iter_mut().find(|slot| slot.is_none());
        *free.expect("the wish held a slot") = Some(Slot {
            link,
            ready: true,
            blocked: false,
        });
        // Links that were read directly so far may have readiness that nobody asked for.
        for slot in self.slots.iter_mut().flatten() {
            slot.ready = true;
        }
        true
    }

    /// Sends a link away to be freed, politely if it still works.
    pub(super) fn retire(&mut self, mut link: Box<Link>, polite: bool) {
        if polite {
            link.close(CloseCode::NORMAL);
        }
        let (received, sent) = link.take_bytes();
        self.bytes_of_retired.0 += received;
        self.bytes_of_retired.1 += sent;
        // A link that was never adopted is not registered: a refusal leaves nothing to undo.
        let _ = self.poll.registry().deregister(link.socket_mut());
        self.say(ToConnector::Retire(link));
    }

    pub(super) fn close_all(&mut self) {
        for at in 0..LINKS_MAX {
            if let Some(slot) = self.slots[at].take() {
                self.retire(slot.link, true);
            }
        }
    }

    /// Takes a wish back; whether there was one.
    pub(super) fn forget_wish(&mut self, id: LinkId) -> bool {
        let wish = self.wishes.iter_mut().find(|wish| **wish == Some(id));
        wish.and_then(Option::take).is_some()
    }

    /// Offers the connector what its ring had no room for; whether it took something.
    pub(super) fn say_again(&mut self) -> bool {
        let Some(message) = self.unsaid.pop_front() else {
            return false;
        };
        if let Err(PushError::Full(message)) = self.to_connector.push(message) {
            self.unsaid.push_front(message);
            return false;
        }
        true
    }

    /// Asks the poll which sockets are ready; whether anything was, the waker included.
    pub(super) fn ask_poll(&mut self, timeout: Duration) -> bool {
        if self
            .poll
            .poll(&mut self.poll_events, Some(timeout))
            .is_err()
        {
            // Interrupted by a signal; the next turn asks again.
            return true;
        }
        let mut any = false;
        for event in &self.poll_events {
            any = true;
            for slot in self.slots.iter_mut().flatten() {
                // A late event of a retired link finds nobody: generations are never used twice.
                if Token(slot.link.id().generation as usize) == event.token() {
                    slot.ready = true;
                }
            }
        }
        any
    }

    #[inline]
    pub(super) fn slot(&mut self, at: usize) -> Option<&mut Slot> {
        self.slots[at].as_mut()
    }

    pub(super) fn count(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    pub(super) fn ready_count(&self) -> usize {
        let ready = |slot: &&Slot| slot.ready;
        self.slots.iter().flatten().filter(ready).count()
    }

    /// Bytes received and sent by all links since the last call.
    pub(super) fn take_bytes(&mut self) -> (u64, u64) {
        let (mut received, mut sent) = std::mem::take(&mut self.bytes_of_retired);
        for slot in self.slots.iter_mut().flatten() {
            let bytes = slot.link.take_bytes();
            received += bytes.0;
            sent += bytes.1;
        }
        (received, sent)
    }

    fn find(&mut self, id: LinkId) -> Option<&mut Slot> {
        let mut slots = self.slots.iter_mut().flatten();
        slots.find(|slot| slot.link.id() == id)
    }

    fn take(&mut self, id: LinkId) -> Option<Box<Link>> {
        let is_it = |slot: &&mut Option<Slot>| slot.as_ref().is_some_and(|s| s.link.id() == id);
        let slot = self.slots.iter_mut().find(is_it);
        slot.and_then(Option::take).map(|slot| slot.link)
    }

    /// Notes that a connection was asked for; `false` when no slot is left for it.
    fn wish(&mut self, id: LinkId) -> bool {
        let taken = self.count() + self.wishes.iter().flatten().count();
        if taken >= LINKS_MAX {
            return false;
        }
        let free = self.wishes.iter_mut().find(|wish| wish.is_none());
        *free.expect("fewer wishes than slots") = Some(id);
        true
    }

    /// Hands something to the connector, now or when [`Links::say_again`] finds room.
    fn say(&mut self, message: ToConnector) {
        if self.unsaid.is_empty() {
            if let Err(PushError::Full(message)) = self.to_connector.push(message) {
                self.unsaid.push_back(message);
            }
        } else if self.unsaid.len() < CONNECTOR_MESSAGES_MAX {
            self.unsaid.push_back(message);
        } else if let ToConnector::Connect(link) = message {
            self.forget_wish(link);
            self.fallen.push_back((link, LinkDown::Connect));
        }
        // A retired link that nobody can take is freed right here: slow, but not lost. A wish that
        // cannot be taken back is fulfilled in vain.
    }
}
