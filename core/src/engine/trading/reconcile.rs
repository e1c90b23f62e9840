//! What the venue holds of us, asked when a link comes up and from time to time.
//!
//! Owns: [`Reconcile`], the steps of one round: open orders, then balances, in the first round of a run also the counts of orders and the trades
//! that were missed (`missed`), then every question that these raised. Does not: judge an order; the machine does. Invariants: trading is not ready before a round is over and no
//! order is unresolved; a round that is not answered takes its link down, and the next link starts another; positions are
//! what is held above the baselines at the end of every round, or the venue is asked once more, and trading halts if that
//! does not cure it.

use crate::oms::Input;
use crate::order::Balance;
use crate::order::{OrderKey, OrderStatus};
use crate::strategy::Strategy;
use crate::telemetry::counters::Counter;
use crate::telemetry::records::{HaltCause, RecordBody, TradingPhase};
use crate::units::{Nanos, VenueMillis};
use crate::venue::binance::fault::VenueFault;

use super::requests::Purpose;
use super::{Desk, Stopwatch};

/// How far a round is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// No round is under way.
    #[default]
    Idle,
    /// Open orders are to be asked for, or asked for.
    OpenOrders,
    /// The venue's counts of our orders are to be asked for, or asked for; once in a run, whose own begin at zero.
    OrderCounts,
    /// Balances are to be asked for, or asked for.
    Account,
    /// Trades that happened while nothing ran are asked for and told; once in a run.
    Missed,
    /// Orders are still unresolved.
    Settling,
}

/// One round after another.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each notes by itself what has happened in this run, beside the step"
)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reconcile {
    step: Step,
    /// When the next round begins by itself.
    next_at: Nanos,
    /// Whether a round was ever over.
    done: bool,
    /// Whether the venue ever listed our open orders.
    listed: bool,
    /// Whether the venue's counts of our orders were asked for.
    counted: bool,
    /// Whether positions and balances differed at the end of the last round.
    differed: bool,
}

impl Reconcile {
    /// Begins a round.
    pub(super) fn begin(&mut self) {
        self.step = Step::OpenOrders;
    }

    /// The link is gone: the round is not finished.
    pub(super) fn abandon(&mut self) {
        self.step = Step::Idle;
    }

    /// Whether a round was over and none is under way.
    pub(super) fn is_over(&self) -> bool {
        self.done && self.step == Step::Idle
    }

    /// Whether orders of an earlier run would be known by now.
    pub(super) fn has_listed(&self) -> bool {
        self.listed
    }

    /// When the next step is due.
    pub(super) fn due(&self) -> Nanos {
        match self.step {
            Step::Idle => self.next_at,
            // Waits for an answer, or is moved by one.
            Step::OpenOrders
            | Step::OrderCounts
            | Step::Account
            | Step::Missed
            | Step::Settling => Nanos::MAX,
        }
    }
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Something was told that could not be read: the venue is asked what it holds of us.
    pub(in crate::engine) fn reconcile(&mut self) {
        self.trading.reconcile.begin();
        self.wake();
    }

    /// Asks what the round needs next; `false` when it cannot be asked now.
    pub(super) fn serve_reconcile(&mut self) -> bool {
        if self.session.orders().is_none() {
            return true;
        }
        if self.trading.reconcile.step == Step::Idle && self.trading.reconcile.next_at <= self.now {
            self.trading.reconcile.begin();
        }
        match self.trading.reconcile.step {
            Step::Idle => true,
            Step::OpenOrders => {
                let asked = |purpose| purpose == Purpose::OpenOrders;
                self.trading.requests.any(asked) || self.ask(Purpose::OpenOrders)
            }
            Step::OrderCounts => {
                let asked = |purpose| purpose == Purpose::OrderCounts;
                self.trading.requests.any(asked) || self.ask(Purpose::OrderCounts)
            }
            Step::Account => {
                let asked = |purpose| purpose == Purpose::Account;
                self.trading.requests.any(asked) || self.ask(Purpose::Account)
            }
            Step::Missed => {
                let went = self.serve_missed();
                if self.trading.missed.is_over() {
                    self.trading.reconcile.step = Step::Settling;
                    self.wake();
                }
                went
            }
            Step::Settling => {
                self.finish_reconcile();
                true
            }
        }
    }

    /// The venue's list of open orders.
    pub(super) fn open_orders_told(&mut self, list: &[OrderStatus], asked_at: Nanos) {
        for status in list {
            match status.key {
                OrderKey::Ours(id) if self.trading.oms.order(id).is_some() => {
                    self.tell(id, Input::Status { status, asked_at });
                }
                OrderKey::Ours(_) => {
                    self.adopt(status, asked_at);
                }
                OrderKey::Foreign => self.telemetry.counters.increment(Counter::ForeignReports),
            }
        }
        self.trading
            .oms
            .end_of_open_orders(self.now, None, asked_at);
        self.serve_overdue();
        self.trading.reconcile.listed = true;
        if self.trading.reconcile.step == Step::OpenOrders {
            self.trading.reconcile.step = if self.trading.reconcile.counted {
                Step::Account
            } else {
                Step::OrderCounts
            };
        }
        self.wake();
    }

    /// The venue's counts of our orders, which every answer brings, or its refusal to tell them.
    pub(super) fn order_counts_told(&mut self) {
        self.trading.reconcile.counted = true;
        if self.trading.reconcile.step == Step::OrderCounts {
            self.trading.reconcile.step = Step::Account;
        }
        self.wake();
    }

    /// The venue's list of balances.
    pub(super) fn account_told(&mut self, balances: &[Balance], as_of: VenueMillis) {
        self.balances(balances, as_of);
        self.balances_listed(as_of);
        if self.trading.reconcile.step == Step::Account {
            self.trading.reconcile.step = if self.trading.missed.is_over() {
                Step::Settling
            } else {
                Step::Missed
            };
        }
        self.wake();
    }

    /// Tells what of each asset is no position, so that the next run knows it too.
    pub(super) fn tell_baselines(&mut self) {
        for (asset, _) in self.trading.assets.iter() {
            if let Some(amount) = self.trading.portfolio.baseline(asset) {
                self.telemetry
                    .records
                    .push(self.now, RecordBody::Baseline { asset, amount });
            }
        }
    }

    /// Ends the round when nothing is left to find out.
    fn finish_reconcile(&mut self) {
        if !self.trading.questions.is_empty() {
            return;
        }
        let first = self.trading.phase == TradingPhase::Reconciling;
        // While trading goes on, one unresolved order must not hold up the next round.
        if first && self.unresolved_count() > 0 {
            return;
        }
        if self.positions_differ() {
            return;
        }
        self.tell_settled();
        self.trading.reconcile.step = Step::Idle;
        self.trading.reconcile.done = true;
        self.trading.reconcile.next_at = self.now.plus(self.trading.config.reconcile_every);
        if first {
            self.set_phase(TradingPhase::Ready);
        }
    }

    /// Looks whether positions are what the balances say; whether another round has begun because they are not.
    fn positions_differ(&mut self) -> bool {
        let disagreement = self.trading.portfolio.disagreement();
        let differed =
            std::mem::replace(&mut self.trading.reconcile.differed, disagreement.is_some());
        let (Some((_, by)), Some(link)) = (disagreement, self.session.orders()) else {
            return false;
        };
        let kind = VenueFault::PositionDiffers as u8;
        self.telemetry.counters.fault(kind);
        let fault = RecordBody::Fault {
            link,
            instrument: None,
            kind,
            detail: by.0 as u64,
        };
        self.telemetry.records.push(self.now, fault);
        if differed {
            self.kill(HaltCause::Books);
            return false;
        }
        self.reconcile();
        true
    }
}
