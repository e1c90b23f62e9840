//! What each refusal of the venue makes the canceller do.
//!
//! Owns: that table, by the meaning that `order_error` gives a refusal and by what was refused. Does not: read
//! answers.

use super::requests::Request;
use super::{BANNED_QUIET, Canceller, InFlight, Link, Notice, Output, RATE_LIMITED_QUIET};
use veloz_core::units::Nanos;
use veloz_core::venue::binance::clock::VenueClock;
use veloz_core::venue::binance::order_error::{ErrorKind, Refusal};

impl Canceller {
    pub(super) fn refused(
        &mut self,
        now: Nanos,
        asked: InFlight,
        refusal: Refusal,
        words: &str,
        wait: Option<Nanos>,
        out: &mut Vec<Output>,
    ) {
        let code = refusal.code;
        let words = format!("{words} (code {code})");
        let method = asked.request.method();
        match refusal.kind {
            ErrorKind::Clock => {
                self.again(asked.request);
                self.link = Link::Starting;
                // Once for all that were under way.
                if self.clock.unix_ns_at_zero().is_some() {
                    self.clock = VenueClock::default();
                    self.clock_refusals = self.clock_refusals.saturating_add(1);
                    // The first is cured by asking for the time; with the next something else is wrong.
                    if self.clock_refusals > 1 {
                        out.push(Output::Tell(Notice::Trouble(format!("{method}: {words}"))));
                        self.quiet_until = now.plus(self.back_off(self.clock_refusals));
                    }
                }
            }
            ErrorKind::RateLimited | ErrorKind::OrderCount => {
                self.again(asked.request);
                let quiet = wait.unwrap_or(now.plus(RATE_LIMITED_QUIET));
                self.quiet_until = self.quiet_until.max(quiet);
                out.push(Output::Tell(Notice::Trouble(format!("{method}: {words}"))));
            }
            ErrorKind::Banned => {
                let quiet = wait.unwrap_or(now.plus(BANNED_QUIET));
                self.quiet_until = self.quiet_until.max(quiet);
                self.in_flight.push(asked);
                self.hang_up(now, &words, out);
            }
            ErrorKind::UnknownOrder => match asked.request {
                Request::Cancel(order) => {
                    self.works();
                    if let Some(sweep) = &mut self.sweep {
                        sweep.over(&order);
                    }
                    out.push(Output::Tell(Notice::Gone(order)));
                }
                Request::Time | Request::LogOn | Request::OpenOrders { .. } => {
                    self.again(asked.request);
                    self.hang_up(now, &words, out);
                }
            },
            ErrorKind::Unknown | ErrorKind::Overloaded | ErrorKind::AlreadySubscribed => {
                match asked.request {
                    Request::Cancel(order) => {
                        out.push(Output::Tell(Notice::Unknown { order, words }));
                    }
                    Request::OpenOrders { .. } => {
                        out.push(Output::Tell(Notice::Trouble(format!("{method}: {words}"))));
                        if let Some(sweep) = &mut self.sweep {
                            sweep.list_later(now, &self.config, &mut self.jitter);
                        }
                    }
                    Request::Time | Request::LogOn => self.hang_up(now, &words, out),
                }
            }
            ErrorKind::LinkUnusable => {
                self.in_flight.push(asked);
                self.hang_up(now, &words, out);
            }
            ErrorKind::SessionRevoked
                if self.credentials.signer.can_log_on() && asked.request != Request::LogOn =>
            {
                self.in_flight.push(asked);
                self.hang_up(now, &words, out);
            }
            // Without a session that could be logged on anew it is the key itself.
            ErrorKind::SessionRevoked | ErrorKind::BadCredentials => {
                self.in_flight.push(asked);
                self.fail(now, format!("the venue refuses the key: {words}"), out);
            }
            ErrorKind::Rejected | ErrorKind::BadRequest => match asked.request {
                Request::Cancel(order) => {
                    out.push(Output::Tell(Notice::Refused { order, words }));
                }
                Request::Time | Request::LogOn | Request::OpenOrders { .. } => {
                    self.fail(now, format!("the venue refuses {method}: {words}"), out);
                }
            },
        }
    }

    /// Puts a request that was certainly not carried out back to where it came from.
    fn again(&mut self, request: Request) {
        if let (Request::Cancel(order), Some(sweep)) = (request, &mut self.sweep) {
            sweep.waiting.push_front(order);
        }
    }

    /// Nothing works until somebody does something; it is tried again all the same, seldom.
    fn fail(&mut self, now: Nanos, words: String, out: &mut Vec<Output>) {
        self.hang_up(now, &words, out);
        self.link = Link::Down {
            retry_at: now.plus(self.config.backoff_max),
        };
        self.failed = Some(words);
    }
}
