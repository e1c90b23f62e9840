//! What must hold after every event, and what must agree in the end.
//!
//! Owns: [`Checks`], which follows the records, and [`Ledger`], the venue's own account. Does not: change anything.
//!
//! | always | in the end |
//! | --- | --- |
//! | records are numbered without a hole | the venue's balances are the engine's, to the last unit |
//! | no trade is booked twice, over restarts too | the venue's trades are the recorded fills, each once (without restarts) |
//! | with everything open filled, no position is above its limit | nothing is locked, nothing is open; the sums of the funnel hold |
//! | the orders' totals are the sums over the orders | |
//! | nothing halts because books disagree | |

use crate::venue::Holdings;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::instrument::{Instruments, Symbol};
use veloz_core::order::{OrderState, Side};
use veloz_core::strategy::{Configured, Standing};
use veloz_core::telemetry::records::{HaltCause, Record, RecordBody};
use veloz_core::units::E8;

use super::Report;

/// Largest position of any instrument either way.
pub(super) const POSITION_MAX: E8 = E8(50_000_000);

type Brain = Engine<NoStopwatch, Configured>;

/// A trade as both sides must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Traded {
    buys: bool,
    price: E8,
    qty: E8,
}

/// The venue's own account.
pub(super) struct Ledger {
    totals: BTreeMap<String, (E8, E8)>,
    trades: BTreeMap<(usize, u64), Traded>,
    open: usize,
}

impl Ledger {
    pub(super) fn of(holdings: Holdings) -> Self {
        let balances = holdings.balances.into_iter();
        let trades = holdings.trades.iter().map(|trade| {
            let traded = Traded {
                buys: trade.buys,
                price: trade.price,
                qty: trade.qty,
            };
            ((trade.symbol, trade.id), traded)
        });
        Self {
            totals: balances
                .map(|(asset, free, locked)| (asset, (free, locked)))
                .collect(),
            trades: trades.collect(),
            open: holdings.open_orders,
        }
    }
}

/// What the records said so far.
pub(super) struct Checks {
    instruments: Instruments,
    next_sequence: u64,
    trades: BTreeMap<(usize, u64), Traded>,
    report: Report,
}

impl Checks {
    pub(super) fn new(instruments: &Instruments) -> Self {
        Self {
            next_sequence: 0,
            trades: BTreeMap::new(),
            report: Report::default(),
            instruments: instruments.clone(),
        }
    }

    pub(super) fn report(&self) -> Report {
        self.report
    }

    /// Another engine begins: its records are numbered from zero.
    pub(super) fn restarted(&mut self) {
        self.next_sequence = 0;
    }

    /// One record.
    pub(super) fn record(&mut self, record: &Record) -> Result<(), String> {
        if record.sequence != self.next_sequence {
            return Err(format!(
                "record {} follows record {}",
                record.sequence,
                self.next_sequence.wrapping_sub(1)
            ));
        }
        self.next_sequence += 1;
        let mut hasher = DefaultHasher::new();
        (self.report.digest, format!("{record:?}")).hash(&mut hasher);
        self.report.digest = hasher.finish();
        self.report.events += 1;
        match record.body {
            RecordBody::OrderAdmitted { .. } => self.report.orders += 1,
            RecordBody::OrderState {
                to: OrderState::Unresolved,
                ..
            } => self.report.unresolved += 1,
            RecordBody::Fill {
                instrument,
                side,
                fee_asset: _,
                trade_id,
                price,
                qty,
                ..
            } => {
                self.report.fills += 1;
                let described = self.instruments.get(instrument);
                let traded = Traded {
                    buys: side == Side::Buy,
                    price: described.price(price),
                    qty: described.qty(qty),
                };
                if self
                    .trades
                    .insert((instrument.as_usize(), trade_id), traded)
                    .is_some()
                {
                    return Err(format!(
                        "trade {trade_id} of {} is booked twice",
                        described.symbol
                    ));
                }
            }
            RecordBody::KillSwitch {
                latched: true,
                cause:
                    cause @ (HaltCause::Overfill
                    | HaltCause::UnknownOrder
                    | HaltCause::RecordsLost
                    | HaltCause::Books),
            } => return Err(format!("the kill switch tripped: {}", cause.label())),
            _ => {}
        }
        Ok(())
    }

    /// What must agree in the end.
    pub(super) fn compare(
        &self,
        engine: &Brain,
        ledger: &Ledger,
        all_fills_known: bool,
    ) -> Result<(), String> {
        let (Some(oms), Some(portfolio), Some(assets)) =
            (engine.oms(), engine.portfolio(), engine.assets())
        else {
            return Err("the engine has no account".to_owned());
        };
        if ledger.open != 0 {
            return Err(format!("{} orders are open at the venue", ledger.open));
        }
        for (index, name) in assets.iter() {
            let (free, locked) = ledger
                .totals
                .get(name.as_str())
                .copied()
                .unwrap_or_default();
            if locked != E8(0) {
                return Err(format!("{locked} {name} are locked, and nothing is open"));
            }
            let ours = portfolio.total(index);
            if ours != free {
                return Err(format!("the venue has {free} {name}, we have {ours}"));
            }
        }
        let ours: BTreeSet<_> = self.trades.iter().collect();
        let theirs: BTreeSet<_> = ledger.trades.iter().collect();
        if let Some((key, traded)) = ours.difference(&theirs).next() {
            return Err(format!(
                "the venue does not know our fill {key:?} {traded:?}"
            ));
        }
        if all_fills_known && let Some((key, traded)) = theirs.difference(&ours).next() {
            return Err(format!(
                "we do not know the venue's trade {key:?} {traded:?}"
            ));
        }
        let mut standing = Standing::default();
        for order in oms.open_all() {
            match (order.venue_order_id(), order.state()) {
                (Some(_), _) => standing.open += 1,
                (None, OrderState::Unresolved) => standing.unresolved += 1,
                (None, _) => standing.unanswered += 1,
            }
        }
        match engine.funnel().map(|funnel| funnel.check(&standing)) {
            Some(Ok(())) => Ok(()),
            Some(Err(leak)) => Err(leak.to_string()),
            None => Err("the engine has no funnel".to_owned()),
        }
    }
}

/// What the state file would have kept.
pub(super) fn baselines(engine: &Brain) -> Vec<(Symbol, E8)> {
    let (Some(assets), Some(portfolio)) = (engine.assets(), engine.portfolio()) else {
        return Vec::new();
    };
    assets
        .iter()
        .filter_map(|(index, name)| Some((name, portfolio.baseline(index)?)))
        .collect()
}

/// What must hold between two events.
pub(super) fn state(engine: &Brain, instruments: &Instruments) -> Result<(), String> {
    let (Some(oms), Some(portfolio)) = (engine.oms(), engine.portfolio()) else {
        return Ok(());
    };
    for (index, instrument) in instruments.iter() {
        let totals = oms.totals(index);
        let (mut buys, mut sells, mut replaced) = (0i128, 0i128, [0i128; 2]);
        let mut count = 0u32;
        for order in oms.open(index) {
            count += 1;
            let lots = i128::from(order.remaining().0);
            let side = match order.side() {
                Side::Buy => {
                    buys += lots;
                    0
                }
                Side::Sell => {
                    sells += lots;
                    1
                }
            };
            if order.state() == OrderState::ReplaceSent {
                replaced[side] += lots;
            }
        }
        if (count, buys, sells)
            != (
                totals.open_count,
                totals.buy_remaining_lots,
                totals.sell_remaining_lots,
            )
        {
            return Err(format!(
                "{}: {count} orders with {buys} and {sells} lots are counted as {} with {} and {}",
                instrument.symbol,
                totals.open_count,
                totals.buy_remaining_lots,
                totals.sell_remaining_lots
            ));
        }
        // An order that is being replaced counts beside its replacement until the venue has answered.
        let lot = i128::from(instrument.lot.unit().0);
        let position = i128::from(portfolio.position(index).qty().0);
        let long = position + (buys - replaced[0]) * lot;
        let short = position - (sells - replaced[1]) * lot;
        let most = i128::from(POSITION_MAX.0);
        if long.max(-short) > most {
            return Err(format!(
                "{}: a position of {position} with {buys} lots to buy and {sells} to sell can pass {most}",
                instrument.symbol
            ));
        }
    }
    Ok(())
}
