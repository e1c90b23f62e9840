//! What a service manager is told: that the engine is ready, that its core turns, that it reads its limits anew, and
//! that it ends.
//!
//! Owns: [`Notifier`]. Does not: decide whether the core turns. Invariants: the watchdog is fed only while the core's
//! heartbeat is young, so a process whose core stands still is ended by the service manager; a reload says that it is
//! ready again only if it was. The protocol is sd_notify(3); without `NOTIFY_SOCKET` nothing is sent.

use sd_notify::NotifyState;
use std::cell::Cell;
use std::time::{Duration, Instant};
use veloz_core::event::LinkRole;
use veloz_exporter::status::Status;

/// One word to the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It serves and follows the market.
    Ready,
    /// Its core turns.
    Alive,
    /// It reads its limits anew; ready says that it has.
    Reloading,
    /// It ends.
    Stopping,
}

/// Speaks to the service manager.
pub(super) struct Notifier {
    listens: bool,
    /// How often the watchdog is fed: half of what it allows, so that one late turn is forgiven.
    feed_every: Option<Duration>,
    fed: Cell<Option<Instant>>,
    ready: Cell<bool>,
}

impl Notifier {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub(super) fn from_environment() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        let allowed = sd_notify::watchdog_enabled().filter(|_| listens);
        Self::new(listens, allowed)
    }

    fn new(listens: bool, watchdog: Option<Duration>) -> Self {
        Self {
            listens,
            feed_every: watchdog.map(|allowed| allowed / 2),
            fed: Cell::default(),
            ready: Cell::default(),
        }
    }

    /// Whether anybody listens: who does not ask for a status for nothing.
    pub(super) fn listens(&self) -> bool {
        self.listens
    }

    /// Tells what is due.
    pub(super) fn look(&self, now: Instant, status: &Status) {
        let follows = status.links_up[LinkRole::Market as usize] > 0;
        for word in self.due(now, status.running, follows) {
            say(word);
        }
    }

    /// Tells of a reload before and after it. Of one before readiness nothing is told: that it is over would say more.
    pub(super) fn around_reload(&self, reload: impl FnOnce()) {
        self.around(reload, say);
    }

    /// Tells that the end has begun.
    pub(super) fn stopping(&self) {
        if self.listens {
            say(Word::Stopping);
        }
    }

    fn around(&self, reload: impl FnOnce(), mut say: impl FnMut(Word)) {
        if self.ready.get() {
            say(Word::Reloading);
            reload();
            say(Word::Ready);
        } else {
            reload();
        }
    }

    fn due(&self, now: Instant, turns: bool, follows: bool) -> impl Iterator<Item = Word> {
        let ready = self.listens && !self.ready.get() && turns && follows;
        self.ready.set(self.ready.get() || ready);
        let hungry = self.feed_every.is_some_and(|every| {
            self.fed
                .get()
                .is_none_or(|fed| now.saturating_duration_since(fed) >= every)
        });
        let feed = hungry && turns;
        if feed {
            self.fed.set(Some(now));
        }
        let ready = ready.then_some(Word::Ready);
        ready.into_iter().chain(feed.then_some(Word::Alive))
    }
}

fn say(word: Word) {
    let told = match word {
        Word::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Word::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        // The time tells the service manager that this answers its signal and not an earlier one.
        Word::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        Word::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        tracing::warn!(
            component = "core",
            event_type = "notify_failed",
            "the service manager was not told {word:?}: {error}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(notifier: &Notifier, at: Instant, turns: bool, follows: bool) -> Vec<Word> {
        notifier.due(at, turns, follows).collect()
    }

    #[test]
    fn readiness_is_told_once_when_the_core_turns_and_follows_the_market() {
        let notifier = Notifier::new(true, None);
        let start = Instant::now();
        assert_eq!(words(&notifier, start, false, true), []);
        assert_eq!(words(&notifier, start, true, false), []);
        assert_eq!(words(&notifier, start, true, true), [Word::Ready]);
        assert_eq!(words(&notifier, start, true, true), []);
    }

    #[test]
    fn the_watchdog_starves_while_the_core_stands_still() {
        let notifier = Notifier::new(true, Some(Duration::from_secs(10)));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            words(&notifier, start, true, true),
            [Word::Ready, Word::Alive]
        );
        assert_eq!(words(&notifier, after(4), true, true), []);
        assert_eq!(words(&notifier, after(5), true, true), [Word::Alive]);
        assert_eq!(words(&notifier, after(60), false, true), []);
        assert_eq!(words(&notifier, after(61), true, true), [Word::Alive]);
    }

    #[test]
    fn a_reload_is_told_once_it_is_ready_and_ends_ready() {
        let notifier = Notifier::new(true, None);
        let told = std::cell::RefCell::new(Vec::new());
        let reload = || {
            notifier.around(
                || told.borrow_mut().push(None),
                |word| told.borrow_mut().push(Some(word)),
            );
            told.take()
        };
        assert_eq!(reload(), [None]);
        assert_eq!(words(&notifier, Instant::now(), true, true), [Word::Ready]);
        assert_eq!(reload(), [Some(Word::Reloading), None, Some(Word::Ready)]);
    }

    #[test]
    fn nobody_is_told_anything_when_nobody_listens() {
        let notifier = Notifier::new(false, None);
        assert_eq!(words(&notifier, Instant::now(), true, true), []);
    }
}
