//! What a session does to one link: subscribe it, close it, lose it, replace it, let it retire.
//!
//! Invariant: when the outbox has no room, nothing has changed but the wish to try again.

use crate::event::{LinkDown, LinkId, LinkRole};
use crate::outbox::{Full, Outbox};
use crate::units::Nanos;
use crate::venue::binance::resync::Source;
use crate::wire::digits::Digits;

use super::role::{Link, Phase};
use super::{Notice, SETTLED_AFTER, SUBSCRIBE_INTERVAL, Session};

impl Session {
    pub(super) fn tick_link(
        &mut self,
        now: Nanos,
        role: LinkRole,
        slot: usize,
        out: &mut Outbox,
        notices: &mut Vec<Notice>,
    ) {
        let Some(link) = self.role(role).slots[slot] else {
            return;
        };
        if let Some(cause) = link.doomed {
            self.close(now, role, slot, cause, out, notices);
            return;
        }
        match link.phase {
            Phase::Connecting { until } => {
                if now >= until {
                    self.close(now, role, slot, LinkDown::Connect, out, notices);
                }
            }
            Phase::LoggingOn { reply_by } => {
                if now >= reply_by {
                    notices.push(Notice::SubscribeOverdue { link: link.id });
                    self.close(now, role, slot, LinkDown::Requested, out, notices);
                }
            }
            Phase::Subscribing {
                sent,
                next_at,
                reply_by,
                ..
            } => {
                if now >= reply_by {
                    notices.push(Notice::SubscribeOverdue { link: link.id });
                    self.close(now, role, slot, LinkDown::Requested, out, notices);
                } else if now >= next_at && sent < self.subscriptions.count() {
                    self.subscribe(now, role, slot, out, notices);
                }
            }
            Phase::Ready { .. } => {
                if slot != self.role(role).main {
                    return;
                }
                if now >= self.silent_at(&link) {
                    self.close(now, role, slot, LinkDown::Silent, out, notices);
                } else if now >= link.rotate_at {
                    self.replace(role);
                }
            }
        }
    }

    /// Sends the next SUBSCRIBE of a link.
    pub(super) fn subscribe(
        &mut self,
        now: Nanos,
        role: LinkRole,
        slot: usize,
        out: &mut Outbox,
        notices: &mut Vec<Notice>,
    ) {
        let link = self.roles[role as usize].slots[slot]
            .as_mut()
            .expect("the caller looked");
        let Phase::Subscribing {
            first_id,
            sent,
            next_at,
            reply_by,
            ..
        } = &mut link.phase
        else {
            unreachable!("the caller looked");
        };
        let asked = out.send(
            link.id,
            &[
                b"{\"method\":\"SUBSCRIBE\",\"params\":[",
                self.subscriptions.params(*sent),
                b"],\"id\":",
                Digits::new((*first_id + *sent as i64) as u64).bytes(),
                b"}",
            ],
        );
        match asked {
            Ok(()) => {
                *sent += 1;
                *next_at = now.plus(SUBSCRIBE_INTERVAL);
                *reply_by = now.plus(self.reply_timeout);
            }
            Err(Full) => self.outbox_full(notices),
        }
    }

    pub(super) fn ready(
        &mut self,
        now: Nanos,
        role: LinkRole,
        slot: usize,
        notices: &mut Vec<Notice>,
    ) {
        let overlap = self.config.overlap;
        let role = &mut self.roles[role as usize];
        let link = role.slots[slot].as_mut().expect("the caller found it");
        link.phase = Phase::Ready { since: now };
        notices.push(Notice::Ready {
            link: link.id,
            source: Source::new(slot),
        });
        // A link that is already retiring may still be answered; it retires all the same.
        if slot != role.main && role.retire_at == Nanos::MAX {
            role.main = slot;
            role.replace = false;
            role.retire_at = now.plus(overlap);
        }
    }

    /// Ends the overlap when it has lasted.
    pub(super) fn retire(
        &mut self,
        now: Nanos,
        role: LinkRole,
        out: &mut Outbox,
        notices: &mut Vec<Notice>,
    ) {
        let overlap = self.config.overlap;
        let held = &mut self.roles[role as usize];
        if now < held.retire_at {
            return;
        }
        if held.kept {
            held.retire_at = now.plus(overlap);
            return;
        }
        let other = held.other();
        let old = held.slots[other].expect("what retires is there");
        match out.close(old.id, LinkDown::Requested) {
            Ok(()) => {
                held.slots[other] = None;
                held.retire_at = Nanos::MAX;
                notices.push(Notice::Retired {
                    link: old.id,
                    old: Source::new(other),
                    new: Source::new(held.main),
                });
            }
            Err(Full) => self.outbox_full(notices),
        }
    }

    /// Asks for a connection when one is wanted and may be made.
    pub(super) fn connect(
        &mut self,
        now: Nanos,
        role: LinkRole,
        out: &mut Outbox,
        notices: &mut Vec<Notice>,
    ) {
        let held = self.role(role);
        let Some(slot) = held.wanted_slot() else {
            return;
        };
        if now < held.connect_at.max(self.attempts.allowed_at()) {
            return;
        }
        let again = held.was_up;
        let link = LinkId {
            role,
            generation: self.generation + 1,
        };
        match out.connect(link) {
            Ok(()) => {
                self.generation += 1;
                self.attempts.note(now);
                self.roles[role as usize].slots[slot] = Some(Link {
                    id: link,
                    phase: Phase::Connecting {
                        until: now.plus(self.config.connect_timeout),
                    },
                    heard_at: now,
                    rotate_at: Nanos::MAX,
                    doomed: None,
                });
                notices.push(Notice::Asked { link, again });
            }
            Err(Full) => self.outbox_full(notices),
        }
    }

    pub(super) fn close(
        &mut self,
        now: Nanos,
        role: LinkRole,
        slot: usize,
        cause: LinkDown,
        out: &mut Outbox,
        notices: &mut Vec<Notice>,
    ) {
        let link = self.role(role).slots[slot].expect("the caller looked");
        if out.close(link.id, cause).is_ok() {
            self.lose(now, role, slot, cause, notices);
        } else {
            let doomed = self.roles[role as usize].slots[slot].as_mut();
            doomed.expect("copied above").doomed = Some(cause);
            self.outbox_full(notices);
        }
    }

    pub(super) fn lose(
        &mut self,
        now: Nanos,
        role: LinkRole,
        slot: usize,
        cause: LinkDown,
        notices: &mut Vec<Notice>,
    ) {
        let role = &mut self.roles[role as usize];
        let link = role.slots[slot].take().expect("the caller found it");
        let was_retiring = slot != role.main && role.retire_at != Nanos::MAX;
        if !was_retiring {
            if let Phase::Ready { since } = link.phase
                && now.since(since) >= SETTLED_AFTER
            {
                role.failures = 0;
            }
            let wait = self.jitter.backoff(
                self.config.backoff_base,
                self.config.backoff_max,
                role.failures,
            );
            role.connect_at = role.connect_at.max(now.plus(wait));
            role.failures = role.failures.saturating_add(1);
        }
        role.retire_at = Nanos::MAX;
        if slot == role.main && role.slots[role.other()].is_some() {
            role.main = role.other();
        }
        if role.slots[role.main].is_none() {
            role.replace = false;
        }
        let others_ready = role.slots.iter().flatten().any(Link::is_ready);
        notices.push(Notice::Down {
            link: link.id,
            source: Source::new(slot),
            cause,
            others_ready,
        });
    }

    #[cold]
    pub(super) fn outbox_full(&mut self, notices: &mut Vec<Notice>) {
        self.retry = true;
        notices.push(Notice::OutboxFull);
    }
}
