//! A connection of its own that takes orders back, and can do nothing else to them.
//!
//! Owns: [`Canceller`], the session of such a connection as a state machine: the venue's clock, the log-on, the
//! sweep that asks for open orders and cancels them until none is left. How far a sweep is, is in
//! `canceller/sweep.rs`, requests and answers are in `canceller/requests.rs`, the socket is in `canceller/driver.rs`. Does not: decide when to sweep; `cancel_all.rs`
//! and `dead_man.rs` do. Time is an argument.
//!
//! The link:
//!
//! | from | on | to |
//! | --- | --- | --- |
//! | `Down` | its time, and quiet is over | `Connecting`; the connection is asked for |
//! | `Connecting` | up | `Starting`; the venue's time is asked for, always first: no local clock is trusted |
//! | `Starting` | the time | with Ed25519 and not logged on: `session.logon`; else `Ready` |
//! | `Starting` | logged on | `Ready` |
//! | `Ready` | a request refused for its time | `Starting`; the time is asked for anew |
//! | any | lost, unanswered, revoked, 23 h old | `Down` until the back-off ends |
//!
//! A sweep, while `Ready`: list the open orders, cancel those that are in its scope, list again; until a list
//! shows none that was asked for [`CancellerConfig::settle`] after the sweep began. An outcome that is unknown is
//! settled by the next list, as is a cancel that found no such order.
//!
//! Invariants: what the venue refuses is waited for as it says (429, 418), with back-off where it says nothing;
//! at most [`CANCELS_IN_FLIGHT_MAX`] cancels wait for their answer; every order that a cancel was sent for is told
//! of exactly once for each cancel.

pub mod driver;
mod notice;
mod refusals;
pub mod requests;
mod sweep;

pub use notice::Notice;

use requests::{Answer, Message, OpenOrder, Request, read};
use sweep::Sweep;
use veloz_core::jitter::Jitter;
use veloz_core::order::OrderKey;
use veloz_core::units::{Nanos, VenueMillis};
use veloz_core::venue::binance::clock::VenueClock;
use veloz_core::venue::binance::order_entry::{ClientOrderIds, Credentials};

/// Cancels that wait for their answer; the others wait for those. A round trip takes some milliseconds.
pub const CANCELS_IN_FLIGHT_MAX: usize = 32;
/// How often an idle connection asks for the time: it keeps the clock true and proves that the link lives.
const KEEP_ALIVE: Nanos = Nanos::from_secs(15);
/// Age at which an idle connection is replaced; the venue cuts every one after 24 hours.
const ROTATE_AFTER: Nanos = Nanos::from_secs(23 * 3_600);
/// How long nothing is asked after a refusal for too many requests that names no time.
const RATE_LIMITED_QUIET: Nanos = Nanos::from_secs(10);
/// The same after a ban: the venue's shortest.
const BANNED_QUIET: Nanos = Nanos::from_secs(120);

/// Whose orders are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of one instance, in any of its runs.
    Instance(ClientOrderIds),
    /// All of the account, whoever placed them.
    Account,
}

impl Scope {
    fn covers(&self, order: &OpenOrder) -> bool {
        match self {
            Self::Instance(ids) => match ids.parse(order.client_order_id.as_bytes()) {
                OrderKey::Ours(_) => true,
                OrderKey::Foreign => false,
            },
            Self::Account => true,
        }
    }
}

/// What a canceller is told at start.
#[derive(Clone, Debug)]
pub struct CancellerConfig {
    /// Whose orders.
    pub scope: Scope,
    /// Of this symbol alone; of all when `None`.
    pub symbol: Option<String>,
    /// How old a request may be when the venue looks at it, in milliseconds.
    pub recv_window_ms: u64,
    /// How long an answer may take; then the connection is given up.
    pub answer_max: Nanos,
    /// How long after a sweep began an order that was on its way then can still reach the venue.
    pub settle: Nanos,
    /// First wait after a failure; doubles with each in a row.
    pub backoff_base: Nanos,
    /// Longest such wait.
    pub backoff_max: Nanos,
    /// Seed of the back-off's jitter.
    pub seed: u64,
}

/// What happens to a canceller.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The connection that was asked for is up.
    Up,
    /// It ended or never came up.
    Down {
        /// Why, in words.
        why: &'a str,
        /// The HTTP status with which the venue refused the connection, if it did.
        status: Option<u16>,
        /// How long it asks to be left alone, if it says.
        pause: Option<Nanos>,
    },
    /// The venue said this.
    Message(&'a str),
    /// A deadline passed, or something else changed.
    Tick,
}

/// What a canceller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect; answered with [`Input::Up`] or [`Input::Down`].
    Connect,
    /// Send this on the connection.
    Send {
        /// A text message.
        text: String,
        /// What it costs at the venue.
        weight: u32,
    },
    /// Close the connection, or give the attempt up; not answered.
    Close,
    /// Somebody should know.
    Tell(Notice),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down { retry_at: Nanos },
    Connecting,
    Starting,
    Ready,
}

struct InFlight {
    id: u64,
    request: Request,
    at: Nanos,
}

/// Takes orders back; see the module's text.
pub struct Canceller {
    config: CancellerConfig,
    credentials: Credentials,
    link: Link,
    up_at: Nanos,
    logged_on: bool,
    clock: VenueClock,
    jitter: Jitter,
    /// Connections in a row that did not become ready.
    failures: u32,
    /// Refusals in a row for the request's time.
    clock_refusals: u32,
    /// Nothing is asked before.
    quiet_until: Nanos,
    sequence: u64,
    in_flight: Vec<InFlight>,
    asked_time_at: Nanos,
    sweep: Option<Sweep>,
    failed: Option<String>,
}

impl Canceller {
    /// A canceller that is not connected yet and does not sweep.
    pub fn new(config: CancellerConfig, credentials: Credentials) -> Self {
        Self {
            jitter: Jitter::new(config.seed),
            config,
            credentials,
            link: Link::Down {
                retry_at: Nanos::ZERO,
            },
            up_at: Nanos::ZERO,
            logged_on: false,
            clock: VenueClock::default(),
            failures: 0,
            clock_refusals: 0,
            quiet_until: Nanos::ZERO,
            sequence: 0,
            in_flight: Vec::with_capacity(CANCELS_IN_FLIGHT_MAX + 2),
            asked_time_at: Nanos::ZERO,
            sweep: None,
            failed: None,
        }
    }

    /// Starts a sweep, or starts it over. A tick has to follow.
    pub fn begin(&mut self, now: Nanos) {
        self.sweep = Some(Sweep::new(now));
    }

    /// Sweeps no more. Cancels under way are still told of.
    pub fn rest(&mut self) {
        self.sweep = None;
    }

    /// Whether the connection can cancel at once.
    pub fn is_ready(&self) -> bool {
        self.link == Link::Ready
    }

    /// Whether the sweep is over, and no order is left.
    pub fn is_clean(&self) -> bool {
        self.sweep
            .as_ref()
            .is_some_and(|sweep| sweep.list_at.is_none())
    }

    /// Orders of the sweep that are open as far as is known; `None` before the first list.
    pub fn left(&self) -> Option<&[OpenOrder]> {
        self.sweep.as_ref()?.left.as_deref()
    }

    /// How many orders the sweep has cancelled.
    pub fn cancelled(&self) -> usize {
        self.sweep.as_ref().map_or(0, |sweep| sweep.cancelled)
    }

    /// Why nothing can be cancelled at all, in words, while it is so: the venue refuses the key, or the request.
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// When [`Canceller::handle`] is to be called with [`Input::Tick`] at the latest; `None` for no reason of its own.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let answers = self
            .in_flight
            .iter()
            .map(|asked| asked.at.plus(self.config.answer_max));
        let own = match self.link {
            Link::Down { retry_at } => Some(retry_at.max(self.quiet_until)),
            // What is under way ends by an answer or by its time.
            Link::Connecting => None,
            Link::Starting | Link::Ready if !self.in_flight.is_empty() => None,
            Link::Starting => Some(self.quiet_until),
            Link::Ready => Some(
                match &self.sweep {
                    Some(sweep) if !sweep.waiting.is_empty() => Nanos::ZERO,
                    Some(Sweep {
                        list_at: Some(at), ..
                    }) => *at,
                    Some(Sweep { list_at: None, .. }) | None => self
                        .asked_time_at
                        .plus(KEEP_ALIVE)
                        .min(self.up_at.plus(ROTATE_AFTER)),
                }
                .max(self.quiet_until),
            ),
        };
        answers.chain(own).min()
    }

    /// Handles what happened; what is wanted is appended to `out`.
    pub fn handle(&mut self, now: Nanos, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Up => {
                self.link = Link::Starting;
                self.up_at = now;
                self.logged_on = false;
                self.clock = VenueClock::default();
            }
            Input::Down { why, status, pause } => {
                let quiet = match status {
                    Some(418) => pause.unwrap_or(BANNED_QUIET),
                    Some(429) => pause.unwrap_or(RATE_LIMITED_QUIET),
                    Some(_) | None => Nanos::ZERO,
                };
                self.quiet_until = self.quiet_until.max(now.plus(quiet));
                self.lost(now, why, out);
            }
            Input::Message(text) => self.message(now, text, out),
            Input::Tick => {}
        }
        self.act(now, out);
    }

    /// Does what is due.
    fn act(&mut self, now: Nanos, out: &mut Vec<Output>) {
        let overdue = self
            .in_flight
            .iter()
            .find(|asked| asked.at.plus(self.config.answer_max) <= now)
            .map(|asked| {
                format!(
                    "no answer to {} for {} ms",
                    asked.request.method(),
                    now.since(asked.at).as_ms()
                )
            });
        if let Some(why) = overdue {
            out.push(Output::Close);
            self.lost(now, &why, out);
        }
        match self.link {
            Link::Down { retry_at } => {
                if retry_at.max(self.quiet_until) <= now {
                    self.link = Link::Connecting;
                    out.push(Output::Connect);
                }
            }
            Link::Connecting => {}
            Link::Starting => {
                if self.in_flight.is_empty() && self.quiet_until <= now {
                    self.ask(now, Request::Time, out);
                }
            }
            Link::Ready => self.work(now, out),
        }
    }

    /// What a ready connection does: the sweep, or nothing for as long as it may.
    fn work(&mut self, now: Nanos, out: &mut Vec<Output>) {
        if self.quiet_until > now {
            return;
        }
        let listing = self
            .in_flight
            .iter()
            .any(|asked| matches!(asked.request, Request::OpenOrders { .. }));
        if let Some(list_at) = self.sweep.as_ref().and_then(|sweep| sweep.list_at) {
            if listing {
                return;
            }
            while self.in_flight.len() < CANCELS_IN_FLIGHT_MAX
                && let Some(order) = self.sweep.as_mut().and_then(|it| it.waiting.pop_front())
            {
                self.ask(now, Request::Cancel(order), out);
            }
            // A list waits for cancels, whose outcome it would not show; a keep-alive holds up nothing.
            let mut others = self.in_flight.iter();
            if others.all(|asked| asked.request == Request::Time) && list_at <= now {
                let symbol = self.config.symbol.clone();
                self.ask(now, Request::OpenOrders { symbol }, out);
            }
            return;
        }
        if !self.in_flight.is_empty() {
            return;
        }
        if now.since(self.up_at) >= ROTATE_AFTER {
            out.push(Output::Close);
            self.lost(now, "the connection is as old as it may become", out);
        } else if now.since(self.asked_time_at) >= KEEP_ALIVE {
            self.ask(now, Request::Time, out);
        }
    }

    fn ask(&mut self, now: Nanos, request: Request, out: &mut Vec<Output>) {
        self.sequence += 1;
        if request == Request::Time {
            self.asked_time_at = now;
        }
        let at = self.venue_time(now).unwrap_or_default();
        out.push(Output::Send {
            text: request.text(
                self.sequence,
                at,
                self.config.recv_window_ms,
                &self.credentials,
            ),
            weight: request.weight(),
        });
        self.in_flight.push(InFlight {
            id: self.sequence,
            request,
            at: now,
        });
    }

    /// The venue's time, once it was asked for.
    fn venue_time(&self, now: Nanos) -> Option<VenueMillis> {
        let unix_ns = self.clock.unix_ns_at_zero()?.checked_add_unsigned(now.0)?;
        Some(VenueMillis(u64::try_from(unix_ns / 1_000_000).ok()?))
    }

    fn message(&mut self, now: Nanos, text: &str, out: &mut Vec<Output>) {
        let in_flight = &self.in_flight;
        let asked = |id| {
            in_flight
                .iter()
                .find(|asked| asked.id == id)
                .map(|asked| &asked.request)
        };
        match read(text, asked) {
            Ok(Message::Other) => {}
            Ok(Message::Ending(why)) => self.hang_up(now, why, out),
            Ok(Message::Done { id, result }) => {
                let asked = self.take(id);
                match result {
                    Ok(answer) => self.done(now, &asked, answer, out),
                    Err(words) => {
                        self.in_flight.push(asked);
                        self.hang_up(now, &words, out);
                    }
                }
            }
            Ok(Message::Refused {
                id,
                refusal,
                words,
                retry_after,
            }) => {
                let asked = self.take(id);
                let wait = retry_after.and_then(|at| self.until(now, at));
                self.refused(now, asked, refusal, &words, wait, out);
            }
            Err(words) => self.hang_up(now, &words, out),
        }
    }

    fn take(&mut self, id: u64) -> InFlight {
        let at = self
            .in_flight
            .iter()
            .position(|asked| asked.id == id)
            .expect("the answer was matched with it");
        self.in_flight.swap_remove(at)
    }

    /// When the venue's clock shows `at`, but not at once; `None` while that clock is unknown.
    fn until(&self, now: Nanos, at: VenueMillis) -> Option<Nanos> {
        let wait_ms = at.0.saturating_sub(self.venue_time(now)?.0);
        let wait = Nanos(wait_ms.saturating_mul(1_000_000));
        Some(now.plus(wait.max(self.config.backoff_base)))
    }

    fn done(&mut self, now: Nanos, asked: &InFlight, answer: Answer, out: &mut Vec<Output>) {
        match answer {
            Answer::Time(venue) => {
                self.clock.answered(asked.at, now, venue);
                match self.link {
                    Link::Starting if self.credentials.signer.can_log_on() && !self.logged_on => {
                        self.ask(now, Request::LogOn, out);
                    }
                    Link::Starting => self.link = Link::Ready,
                    // It has lived for a while.
                    Link::Ready => self.failures = 0,
                    Link::Down { .. } | Link::Connecting => {}
                }
            }
            Answer::LoggedOn => {
                self.logged_on = true;
                self.link = Link::Ready;
            }
            Answer::OpenOrders(orders) => {
                self.works();
                self.listed(now, asked.at, orders, out);
            }
            Answer::Cancelled(order) => {
                self.works();
                if let Some(sweep) = &mut self.sweep {
                    sweep.cancelled += 1;
                    sweep.over(&order);
                }
                out.push(Output::Tell(Notice::Cancelled(order)));
            }
        }
    }

    /// The venue took a request of ours.
    fn works(&mut self) {
        self.failures = 0;
        self.clock_refusals = 0;
        self.failed = None;
    }

    fn listed(
        &mut self,
        now: Nanos,
        asked_at: Nanos,
        orders: Vec<OpenOrder>,
        out: &mut Vec<Output>,
    ) {
        let Some(sweep) = &mut self.sweep else {
            return;
        };
        if sweep.listed(now, asked_at, orders, &self.config, &mut self.jitter) {
            out.push(Output::Tell(Notice::Clean {
                cancelled: sweep.cancelled,
            }));
        }
    }

    fn hang_up(&mut self, now: Nanos, why: &str, out: &mut Vec<Output>) {
        out.push(Output::Close);
        self.lost(now, why, out);
    }

    /// The connection is gone, and whatever was under way is unknown.
    fn lost(&mut self, now: Nanos, why: &str, out: &mut Vec<Output>) {
        for asked in self.in_flight.drain(..) {
            if let Request::Cancel(order) = asked.request {
                out.push(Output::Tell(Notice::Unknown {
                    order,
                    words: why.to_owned(),
                }));
            }
        }
        out.push(Output::Tell(Notice::Trouble(why.to_owned())));
        let pause = self.back_off(self.failures);
        self.link = Link::Down {
            retry_at: now.plus(pause),
        };
        self.failures = self.failures.saturating_add(1);
        if let Some(sweep) = &mut self.sweep {
            sweep.list_anew(now);
        }
    }

    fn back_off(&mut self, failures: u32) -> Nanos {
        let (base, max) = (self.config.backoff_base, self.config.backoff_max);
        self.jitter.backoff(base, max, failures)
    }
}

#[cfg(test)]
pub(crate) mod tests;
