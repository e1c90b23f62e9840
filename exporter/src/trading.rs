//! What the sidecar knows of trading: orders, fills, the account, and what became of commands.
//!
//! Owns: [`TradingView`], a read model made from the core's records. Does not: decide, send commands, speak HTTP,
//! or repeat what the core's gauges tell (equity, positions at their marks, budgets).
//!
//! | module | what |
//! | --- | --- |
//! | `trading/order.rs` | one order, its status as clients know it, its events, fills |
//! | `trading/orders.rs` | all of them, bounded, by our id and by the client's |
//! | `trading/account.rs` | balances, positions, and the states of trading |
//! | `trading/counts.rs` | counts of what records tell |
//! | `trading/commands.rs` | commands by their token: who asked, what came of it, waiting for it |
//!
//! **Who does what.** The drain's thread calls [`TradingView::record`] with every record; any thread reads. A clone is
//! another handle on the same view. Each reader holds the lock for a lookup or a copy and gets values, never
//! references; nothing is awaited and nothing rendered under it.
//!
//! **How a handler places an order:**
//!
//! 1. `let token = view.commands().issue(Asked { .. })`: a number that nothing else has, never zero.
//! 2. Send `Command::Place { token, .. }`. When the channel is full: `view.commands().withdraw(token)` and answer 503.
//! 3. `view.commands().wait(token).await` gives the core's [`Answer`]: carried out, or refused and why, and the order's
//!    number. It never gives up by itself: put a timeout around it.
//! 4. `view.wait_order(id, |order| order.is_answered()).await` resolves when the venue has taken or refused the order,
//!    with the order as it is then. Put a timeout around it too; when it passes, [`TradingView::order`] has the state
//!    to answer 202 with.
//!
//! Records come in the core's order, so an order is in the view, with its alias, before the answer to its command is.
//!
//! Invariants: memory is bounded by the limits at the head of each part; an open order is never forgotten while the
//! core has it; what is not known is `None` and never a default.

mod account;
mod commands;
mod counts;
mod order;
mod orders;

#[cfg(test)]
mod tests;

pub use account::{BalanceLine, Cause, Closings, PositionLine, Standing, positions};
pub use commands::{ANSWERS_KEPT_MAX, Answer, Asked, CommandResults, ISSUED_MAX};
pub use counts::TradingCounts;
pub use order::{FillLine, OrderEvent, OrderLine, OrderStatus, Reason, Refusal};
pub use orders::Told;
pub(crate) use orders::parse_id;
pub use orders::{EVENTS_MAX, FILLS_MAX, FINISHED_MAX, ORDERS_MAX};

use account::Account;
use orders::Orders;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use veloz_core::event::Token;
use veloz_core::instrument::{Assets, InstrumentIndex, Instruments};
use veloz_core::order::{ClientId, OrderId};
use veloz_core::telemetry::records::{Record, RecordBody};
use veloz_core::units::Nanos;

/// The read model; cheap to clone.
#[derive(Clone)]
pub struct TradingView {
    shared: Arc<Shared>,
}

struct Shared {
    instruments: Arc<Instruments>,
    assets: Arc<Assets>,
    held: Mutex<Held>,
    commands: CommandResults,
}

/// What lies behind the lock.
struct Held {
    orders: Orders,
    account: Account,
    counts: TradingCounts,
    /// Who waits for the next change of an order.
    waiting: HashMap<OrderId, Vec<oneshot::Sender<()>>>,
    unix_ns_at_zero: i64,
}

impl TradingView {
    /// An empty view of trading in these instruments and assets.
    pub fn new(instruments: Arc<Instruments>, assets: Arc<Assets>) -> Self {
        let held = Held {
            orders: Orders::default(),
            account: Account::new(instruments.count(), assets.count()),
            counts: TradingCounts::default(),
            waiting: HashMap::new(),
            unix_ns_at_zero: 0,
        };
        Self {
            shared: Arc::new(Shared {
                instruments,
                assets,
                held: Mutex::new(held),
                commands: CommandResults::default(),
            }),
        }
    }

    /// Says what Unix time it was, in nanoseconds, when the engine's clock read zero. Times of later records are
    /// made with it.
    pub fn set_wall_clock(&self, unix_ns_at_zero: i64) {
        self.held().unix_ns_at_zero = unix_ns_at_zero;
    }

    /// Takes note of clients' ids of orders of earlier runs: the core does not know them any more.
    pub fn know_earlier(&self, known: &[(OrderId, ClientId)]) {
        self.held().orders.know_earlier(known);
    }

    /// A moment of the engine's clock as Unix time in nanoseconds: of one moment always the same.
    pub fn unix_ns(&self, at: Nanos) -> i64 {
        self.held().unix_ns(at)
    }

    /// Takes a record, and tells what clients may want to hear of it. For the drain's thread.
    pub fn record(&self, record: &Record) -> Told {
        if is_foreign(&record.body) {
            return Told::default();
        }
        let asked = token_of(&record.body).and_then(|token| self.shared.commands.asked(token));
        let mut held = self.held();
        let ts_ns = held.unix_ns(record.at);
        let mut told = held.apply(record, ts_ns, &self.shared);
        let woken = told.order.and_then(|order| held.waiting.remove(&order.id));
        drop(held);
        for waiting in woken.into_iter().flatten() {
            // Who does not wait any more needs no waking.
            let _ = waiting.send(());
        }
        if let RecordBody::CommandDone {
            token,
            result,
            reason,
            order,
        } = record.body
        {
            self.shared.commands.answered(
                token,
                Answer {
                    result,
                    reason,
                    order,
                    at: record.at,
                },
            );
        }
        told.asked = asked;
        told
    }

    /// Commands by their token.
    pub fn commands(&self) -> &CommandResults {
        &self.shared.commands
    }

    /// An order by our number.
    pub fn order(&self, id: OrderId) -> Option<OrderLine> {
        self.held().orders.get(id).copied()
    }

    /// An order by the name that [`OrderLine::name`] gives it: the client's id, or our number as text.
    pub fn find_order(&self, name: &str) -> Option<OrderLine> {
        self.held().orders.find(name).copied()
    }

    /// Orders that `keep` wants, the newest first, at most `limit`. `keep` runs under the lock: it must only look.
    pub fn orders(&self, limit: usize, keep: impl Fn(&OrderLine) -> bool) -> Vec<OrderLine> {
        let held = self.held();
        held.orders
            .newest_first()
            .filter(|order| keep(order))
            .take(limit)
            .copied()
            .collect()
    }

    /// The newest events of orders, oldest first: at most [`EVENTS_MAX`].
    pub fn order_events(&self) -> Vec<OrderEvent> {
        self.held().orders.events().copied().collect()
    }

    /// Fills that `keep` wants, the newest first, at most `limit`. `keep` runs under the lock: it must only look.
    pub fn fills(&self, limit: usize, keep: impl Fn(&FillLine) -> bool) -> Vec<FillLine> {
        let held = self.held();
        held.orders
            .fills_newest_first()
            .filter(|fill| keep(fill))
            .take(limit)
            .copied()
            .collect()
    }

    /// Balances that the venue told, in the order of the asset table.
    pub fn balances(&self) -> Vec<BalanceLine> {
        self.held().account.balances(&self.shared.assets)
    }

    /// Phase, state and kill switch as records told them, with their causes; the gauges tell the same without.
    pub fn standing(&self) -> Standing {
        self.held().account.standing()
    }

    /// When a fill last moved the position of an instrument, Unix time in nanoseconds.
    pub fn position_changed_ns(&self, instrument: InstrumentIndex) -> Option<i64> {
        self.held().account.position_changed_ns(instrument)
    }

    /// Fills that made a position smaller, by how they came out.
    pub fn closings(&self) -> Closings {
        self.held().account.closings()
    }

    /// The same of the strategy's orders alone, those of this run: who wanted an order of an earlier one is not known.
    pub fn strategy_closings(&self) -> Closings {
        self.held().account.strategy_closings()
    }

    /// Counts of what records tell.
    pub fn counts(&self) -> TradingCounts {
        self.held().counts
    }

    /// Resolves with an order as soon as `reached` holds for it; `None` when there is no such order, or not any more.
    /// Never gives up by itself.
    pub async fn wait_order(
        &self,
        id: OrderId,
        reached: impl Fn(&OrderLine) -> bool,
    ) -> Option<OrderLine> {
        loop {
            let changed = {
                let mut held = self.held();
                let order = *held.orders.get(id)?;
                if reached(&order) {
                    return Some(order);
                }
                let waiting = held.waiting.entry(id).or_default();
                // Waiters that gave up must not add up while an order does not change.
                waiting.retain(|waiting| !waiting.is_closed());
                let (sender, changed) = oneshot::channel();
                waiting.push(sender);
                changed
            };
            // An error means that the view is gone, and with it the order.
            changed.await.ok()?;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic under the lock is a panic of the drain, which ends the process.
        self.shared
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn unix_ns(&self, at: Nanos) -> i64 {
        let unix_ns = i128::from(self.unix_ns_at_zero) + i128::from(at.0);
        i64::try_from(unix_ns).unwrap_or(i64::MAX)
    }

    fn apply(&mut self, record: &Record, ts_ns: i64, shared: &Shared) -> Told {
        let client_of = |token| shared.commands.client_of(token);
        self.counts.record(&record.body, &self.orders);
        if let RecordBody::Fill {
            order, instrument, ..
        } = record.body
        {
            let origin = self.orders.get(order).and_then(|order| order.origin);
            self.account.filled(instrument, origin);
        }
        self.account.record(record, ts_ns);
        let told = self
            .orders
            .record(&record.body, ts_ns, &shared.instruments, client_of);
        if self.orders.evict() {
            let orders = &self.orders;
            self.waiting.retain(|order, _| orders.get(*order).is_some());
        }
        told
    }
}

/// The command that a record is about.
const fn token_of(body: &RecordBody) -> Option<Token> {
    match body {
        RecordBody::OrderAdmitted { token, .. }
        | RecordBody::OrderRejected { token, .. }
        | RecordBody::CommandDone { token, .. } => Some(*token),
        RecordBody::LinkUp { .. }
        | RecordBody::LinkDown { .. }
        | RecordBody::BookState { .. }
        | RecordBody::Resync { .. }
        | RecordBody::Fault { .. }
        | RecordBody::RequestRefused { .. }
        | RecordBody::EngineState { .. }
        | RecordBody::Shutdown { .. }
        | RecordBody::OrderAlias { .. }
        | RecordBody::OrderAdopted { .. }
        | RecordBody::OrderState { .. }
        | RecordBody::Fill { .. }
        | RecordBody::VenueRefused { .. }
        | RecordBody::OrderFault { .. }
        | RecordBody::Position { .. }
        | RecordBody::Balance { .. }
        | RecordBody::Baseline { .. }
        | RecordBody::TradesKnown { .. }
        | RecordBody::TradingPhase { .. }
        | RecordBody::TradingState { .. }
        | RecordBody::KillSwitch { .. }
        | RecordBody::Limits { .. } => None,
    }
}

/// Whether a record has nothing to do with trading.
const fn is_foreign(body: &RecordBody) -> bool {
    match body {
        RecordBody::LinkUp { .. }
        | RecordBody::LinkDown { .. }
        | RecordBody::BookState { .. }
        | RecordBody::Resync { .. }
        | RecordBody::Fault { .. }
        | RecordBody::RequestRefused { .. }
        | RecordBody::EngineState { .. }
        | RecordBody::Shutdown { .. } => true,
        RecordBody::OrderAdmitted { .. }
        | RecordBody::OrderAlias { .. }
        | RecordBody::OrderAdopted { .. }
        | RecordBody::OrderState { .. }
        | RecordBody::Fill { .. }
        | RecordBody::OrderRejected { .. }
        | RecordBody::VenueRefused { .. }
        | RecordBody::OrderFault { .. }
        | RecordBody::CommandDone { .. }
        | RecordBody::Position { .. }
        | RecordBody::Balance { .. }
        | RecordBody::Baseline { .. }
        | RecordBody::TradesKnown { .. }
        | RecordBody::TradingPhase { .. }
        | RecordBody::TradingState { .. }
        | RecordBody::KillSwitch { .. }
        | RecordBody::Limits { .. } => false,
    }
}
