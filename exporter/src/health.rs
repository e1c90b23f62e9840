//! Whether the engine lives and whether it may be relied on.
//!
//! Owns: [`Health`] and its judgement. Does not: read a clock, serve HTTP. Invariant: ready means that
//! every configured component is good; what is not is named, with the reason.

use crate::status::BookLine;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use veloz_core::event::LinkRole;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::risk::Limit;
use veloz_core::telemetry::gauges::{Gauge, GaugeReader};
use veloz_core::telemetry::records::{BookState, TradingPhase};
use veloz_core::units::Nanos;

/// How the core's heartbeat looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// The core has not finished a turn yet.
    Starting,
    /// Younger than its bound.
    Beating,
    /// Older than its bound.
    Stalled {
        /// How old.
        age: Nanos,
    },
}

impl Heartbeat {
    /// Judges a heartbeat read at `now`; [`Nanos::ZERO`] is one that never came.
    pub fn judge(now: Nanos, heartbeat: Nanos, max_age: Nanos) -> Self {
        if heartbeat == Nanos::ZERO {
            return Self::Starting;
        }
        let age = now.since(heartbeat);
        if age > max_age {
            Self::Stalled { age }
        } else {
            Self::Beating
        }
    }
}

/// One configured component and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its stable name in the response.
    pub name: &'static str,
    /// Whether it is good.
    pub good: bool,
    /// One word, and for what is not good the reason behind a colon.
    pub text: String,
}

/// The judgement of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// All configured components.
    pub components: Vec<Component>,
}

/// A component whose owner says how it is; a clone says the same. Good until it says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    reason: Arc<Mutex<Option<String>>>,
    failures: Arc<AtomicU64>,
}

impl Reported {
    /// It is good; or it is not, for this reason.
    pub fn report(&self, outcome: Result<(), String>) {
        if outcome.is_err() {
            self.failures.fetch_add(1, Relaxed);
        }
        *self.held() = outcome.err();
    }

    /// How often it was not good when it said how it is.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Why it is not good; `None` when it is.
    pub fn reason(&self) -> Option<String> {
        self.held().clone()
    }

    fn held(&self) -> MutexGuard<'_, Option<String>> {
        // Whatever panicked while it was held, the text is whole.
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What decides whether orders can go out and their fate be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountHealth {
    /// How far trading has come; never [`TradingPhase::Off`].
    pub phase: TradingPhase,
    /// Connections up that carry orders and user data.
    pub order_links_up: usize,
    /// The venue's clock minus ours in nanoseconds; `None` until it was measured.
    pub clock_offset_ns: Option<i64>,
    /// How far it may be off; `None` when that is not limited.
    pub clock_offset_max_ns: Option<i64>,
}

impl AccountHealth {
    /// As the core publishes it; `None` without an account.
    pub fn read(gauges: &GaugeReader) -> Option<Self> {
        let position = usize::try_from(gauges.plain(Gauge::TradingPhase)).ok()?;
        let phase = *TradingPhase::ALL.get(position)?;
        if phase == TradingPhase::Off {
            return None;
        }
        // Global limits read the same from every instrument.
        let (_, clock_offset_max_ns) = gauges
            .limits(InstrumentIndex(0))
            .map_or((None, None), |limits| limits.of(Limit::ClockOffset));
        Some(Self {
            phase,
            order_links_up: gauges.links_up(LinkRole::Orders),
            clock_offset_ns: gauges.venue_clock_offset_ns(),
            clock_offset_max_ns,
        })
    }

    fn components(&self) -> [Component; 3] {
        let logged_on = match self.phase {
            TradingPhase::Off | TradingPhase::Starting => false,
            TradingPhase::Reconciling
            | TradingPhase::Ready
            | TradingPhase::Stopping
            | TradingPhase::Stopped => true,
        };
        let user_stream = match (self.order_links_up, logged_on) {
            (0, _) => (false, "disconnected".to_owned()),
            (_, false) => (false, "not logged on".to_owned()),
            (_, true) => (true, "connected".to_owned()),
        };
        let is_ready = self.phase == TradingPhase::Ready;
        let trading = (is_ready, self.phase.label().to_owned());
        let clock = match (self.clock_offset_ns, self.clock_offset_max_ns) {
            (None, _) => (false, "not measured".to_owned()),
            (Some(offset), Some(max)) if offset.unsigned_abs() > max.unsigned_abs() => {
                (false, format!("off by {} ms", offset / 1_000_000))
            }
            (Some(_), _) => (true, "healthy".to_owned()),
        };
        [
            component("user_stream", user_stream),
            component("trading", trading),
            component("clock", clock),
        ]
    }
}

fn component(name: &'static str, (good, text): (bool, String)) -> Component {
    Component { name, good, text }
}

/// Books named in the reason; the rest is counted, so that the text stays one line.
const BOOKS_NAMED_MAX: usize = 8;

impl Health {
    /// Judges the core, the market-data connection and the books; and what there is of an account and of a state
    /// that must be saved.
    pub fn judge(
        heartbeat: Heartbeat,
        market_links_up: usize,
        books: &[BookLine],
        account: Option<&AccountHealth>,
        state: Option<&Reported>,
    ) -> Self {
        let engine = match heartbeat {
            Heartbeat::Starting => (false, "starting".to_owned()),
            Heartbeat::Beating => (true, "healthy".to_owned()),
            Heartbeat::Stalled { age } => {
                (false, format!("stalled: no turn for {} ms", age.as_ms()))
            }
        };
        let websocket = if market_links_up > 0 {
            (true, "connected".to_owned())
        } else {
            (false, "disconnected".to_owned())
        };
        let mut components = vec![
            component("engine", engine),
            component("websocket", websocket),
            component("books", judge_books(books)),
        ];
        components.extend(account.into_iter().flat_map(AccountHealth::components));
        components.extend(state.map(|state| {
            let judged = match state.reason() {
                None => (true, "healthy".to_owned()),
                Some(reason) => (false, reason),
            };
            component("database", judged)
        }));
        Self { components }
    }

    /// Whether every component is good.
    pub fn is_ready(&self) -> bool {
        self.components.iter().all(|component| component.good)
    }

    /// The names of those that are not.
    pub fn failing(&self) -> impl Iterator<Item = &'static str> {
        self.components
            .iter()
            .filter(|component| !component.good)
            .map(|component| component.name)
    }
}

fn judge_books(books: &[BookLine]) -> (bool, String) {
    let mut reason = String::new();
    let mut bad = 0;
    for book in books {
        let state = match (book.state, book.stale_for) {
            (Some(BookState::Live), None) => continue,
            (Some(BookState::Live), Some(age)) => format!("without news for {} ms", age.as_ms()),
            (Some(state), _) => state.label().to_owned(),
            (None, _) => "unreadable".to_owned(),
        };
        bad += 1;
        if bad <= BOOKS_NAMED_MAX {
            let separator = if reason.is_empty() { "" } else { ", " };
            reason = format!("{reason}{separator}{} {state}", book.symbol);
        }
    }
    if bad == 0 {
        return (true, "live".to_owned());
    }
    if bad > BOOKS_NAMED_MAX {
        reason = format!("{reason} and {} more", bad - BOOKS_NAMED_MAX);
    }
    (false, format!("not live: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::BookLine;

    fn book(symbol: &str, state: BookState) -> BookLine {
        BookLine::without_price(symbol, Some(state))
    }

    fn judge(heartbeat: Heartbeat, links: usize, books: &[BookLine]) -> Health {
        Health::judge(heartbeat, links, books, None, None)
    }

    #[test]
    fn each_failure_that_is_reported_is_counted() {
        let reported = Reported::default();
        let owner = reported.clone();
        for outcome in [
            Ok(()),
            Err("disk full".to_owned()),
            Err("still".to_owned()),
            Ok(()),
        ] {
            owner.report(outcome);
        }
        assert_eq!((reported.failures(), reported.reason()), (2, None));
    }

    #[test]
    fn an_account_adds_its_components_and_each_can_fail() {
        let good = AccountHealth {
            phase: TradingPhase::Ready,
            order_links_up: 1,
            clock_offset_ns: Some(-5_000_000),
            clock_offset_max_ns: Some(5_000_000),
        };
        let state = Reported::default();
        let failing = |account: AccountHealth| {
            let live = [book("BTCUSDT", BookState::Live)];
            let health = Health::judge(Heartbeat::Beating, 1, &live, Some(&account), Some(&state));
            let bad = health.components.iter().filter(|component| !component.good);
            bad.map(|component| format!("{}: {}", component.name, component.text))
                .collect::<Vec<_>>()
        };
        assert!(failing(good).is_empty());
        assert_eq!(
            failing(AccountHealth {
                order_links_up: 0,
                ..good
            }),
            ["user_stream: disconnected"]
        );
        assert_eq!(
            failing(AccountHealth {
                phase: TradingPhase::Starting,
                ..good
            }),
            ["user_stream: not logged on", "trading: starting"]
        );
        assert_eq!(
            failing(AccountHealth {
                phase: TradingPhase::Reconciling,
                ..good
            }),
            ["trading: reconciling"]
        );
        assert_eq!(
            failing(AccountHealth {
                clock_offset_ns: None,
                ..good
            }),
            ["clock: not measured"]
        );
        assert_eq!(
            failing(AccountHealth {
                clock_offset_ns: Some(7_000_000),
                ..good
            }),
            ["clock: off by 7 ms"]
        );
        state.clone().report(Err("cannot be written".to_owned()));
        assert_eq!(failing(good), ["database: cannot be written"]);
        state.report(Ok(()));
        assert!(failing(good).is_empty());
    }

    #[test]
    fn a_heartbeat_ages() {
        let bound = Nanos::from_secs(1);
        let judge = |now, heartbeat| Heartbeat::judge(Nanos(now), Nanos(heartbeat), bound);
        let second = Nanos::from_secs(1).0;
        assert_eq!(judge(5 * second, 0), Heartbeat::Starting);
        assert_eq!(judge(5 * second, 4 * second), Heartbeat::Beating);
        assert_eq!(
            judge(5 * second, 4 * second - 1),
            Heartbeat::Stalled {
                age: Nanos(second + 1)
            }
        );
        // The core beats while we judge: its stamp may be later than our reading.
        assert_eq!(judge(5 * second, 6 * second), Heartbeat::Beating);
    }

    #[test]
    fn what_is_not_good_is_named() {
        let live = book("BTCUSDT", BookState::Live);
        let ready = judge(Heartbeat::Beating, 1, std::slice::from_ref(&live));
        assert!(ready.is_ready());

        let silent = BookLine {
            stale_for: Some(Nanos::from_ms(2_300)),
            ..live.clone()
        };
        let health = judge(Heartbeat::Beating, 1, &[live.clone(), silent]);
        assert_eq!(health.failing().collect::<Vec<_>>(), ["books"]);
        let text = &health.components[2].text;
        assert_eq!(text, "not live: BTCUSDT without news for 2300 ms");

        let resyncing = book("ETHUSDT", BookState::Resyncing);
        let health = judge(Heartbeat::Beating, 1, &[live.clone(), resyncing]);
        assert!(!health.is_ready());
        assert_eq!(health.failing().collect::<Vec<_>>(), ["books"]);
        assert_eq!(health.components[2].text, "not live: ETHUSDT resyncing");

        let age = Nanos::from_ms(1_500);
        let stalled = judge(Heartbeat::Stalled { age }, 0, &[live]);
        assert_eq!(
            stalled.failing().collect::<Vec<_>>(),
            ["engine", "websocket"]
        );
        assert_eq!(stalled.components[0].text, "stalled: no turn for 1500 ms");
    }

    #[test]
    fn many_bad_books_stay_one_short_line() {
        let books: Vec<_> = (0..200)
            .map(|number| book(&format!("S{number}"), BookState::Waiting))
            .collect();
        let (good, text) = judge_books(&books);
        assert!(!good);
        assert!(text.ends_with("S7 waiting and 192 more"), "{text}");
    }
}
