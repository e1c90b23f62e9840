//! Tickets: an identity for one request that cannot carry headers.
//!
//! Owns: [`Tickets`]. A browser's EventSource sends no headers, so a page asks for a ticket first and
//! puts it into the stream's address. Addresses end up in logs and histories, hence: one use, half a
//! minute. Invariant: at most [`TICKETS_MAX`] are open.

use super::Principal;
use super::digest::SecretDigest;
use crate::wall::UnixMs;
use std::sync::{Mutex, PoisonError};

/// How long a ticket is good.
pub const TICKET_LIFE_MS: u64 = 30_000;
/// Tickets open at once; more are refused.
const TICKETS_MAX: usize = 1_024;

/// The tickets that were given and not used.
#[derive(Default)]
pub(super) struct Tickets {
    open: Mutex<Vec<Ticket>>,
}

struct Ticket {
    digest: SecretDigest,
    principal: Principal,
    until: UnixMs,
}

impl Tickets {
    /// A ticket for this principal; `None` when too many are open.
    pub(super) fn give(&self, principal: Principal, now: UnixMs) -> Option<String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|ticket| ticket.until > now);
        if open.len() >= TICKETS_MAX {
            return None;
        }
        let text = crate::random::hex::<32>();
        open.push(Ticket {
            digest: SecretDigest::of(&text),
            principal,
            until: now.plus_ms(TICKET_LIFE_MS),
        });
        Some(text)
    }

    /// Whose ticket it is; it is none afterwards.
    pub(super) fn take(&self, text: &str, now: UnixMs) -> Option<Principal> {
        let digest = SecretDigest::of(text);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let position = open.iter().position(|ticket| ticket.digest.is(&digest))?;
        let ticket = open.swap_remove(position);
        (ticket.until > now).then_some(ticket.principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Via;
    use crate::auth::permission::Permissions;

    fn principal() -> Principal {
        Principal {
            user_id: "tom".to_owned(),
            permissions: Permissions::READ,
            via: Via::Machine,
        }
    }

    #[test]
    fn a_ticket_is_good_once_and_for_half_a_minute() {
        let tickets = Tickets::default();
        let give = |now| tickets.give(principal(), UnixMs(now)).expect("room");
        let first = give(0);
        assert!(tickets.take("wrong", UnixMs(1)).is_none());
        let taken = tickets.take(&first, UnixMs(TICKET_LIFE_MS - 1));
        assert_eq!(
            taken.map(|principal| principal.user_id).as_deref(),
            Some("tom")
        );
        assert!(tickets.take(&first, UnixMs(1)).is_none());
        let late = give(0);
        assert!(tickets.take(&late, UnixMs(TICKET_LIFE_MS)).is_none());
    }

    #[test]
    fn too_many_are_refused_until_some_are_over() {
        let tickets = Tickets::default();
        for _ in 0..TICKETS_MAX {
            assert!(tickets.give(principal(), UnixMs(0)).is_some());
        }
        assert!(tickets.give(principal(), UnixMs(1)).is_none());
        assert!(tickets.give(principal(), UnixMs(TICKET_LIFE_MS)).is_some());
    }
}
