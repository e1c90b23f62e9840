//! Whether the engine lives and whether it may be relied on.
//!
//! Owns: [`Health`] and its judgement. Does not: read a clock, serve HTTP. Invariant: ready means that
//! every configured component is good; what is not is named, with the reason.

use crate::status::BookLine;
use veloz_core::telemetry::records::BookState;
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

/// Books named in the reason; the rest is counted, so that the text stays one line.
const BOOKS_NAMED_MAX: usize = 8;

impl Health {
    /// Judges the core, the market-data connection and the books.
    pub fn judge(heartbeat: Heartbeat, market_links_up: usize, books: &[BookLine]) -> Self {
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
        let component = |name, (good, text)| Component { name, good, text };
        Self {
            components: vec![
                component("engine", engine),
                component("websocket", websocket),
                component("books", judge_books(books)),
            ],
        }
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
        if book.state == Some(BookState::Live) {
            continue;
        }
        bad += 1;
        if bad <= BOOKS_NAMED_MAX {
            let state = book.state.map_or("unreadable", BookState::label);
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
        let ready = Health::judge(Heartbeat::Beating, 1, std::slice::from_ref(&live));
        assert!(ready.is_ready());

        let resyncing = book("ETHUSDT", BookState::Resyncing);
        let health = Health::judge(Heartbeat::Beating, 1, &[live.clone(), resyncing]);
        assert!(!health.is_ready());
        assert_eq!(health.failing().collect::<Vec<_>>(), ["books"]);
        assert_eq!(health.components[2].text, "not live: ETHUSDT resyncing");

        let age = Nanos::from_ms(1_500);
        let stalled = Health::judge(Heartbeat::Stalled { age }, 0, &[live]);
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
