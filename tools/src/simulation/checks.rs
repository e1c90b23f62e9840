//! What must hold after every event, and what must agree in the end.
//!
//! Owns: [`Checks`], which follows the records, and [`Ledger`], the venue's own account. Does not: change anything.
//!
//! | always | in the end |
//! | --- | --- |
//! | records are numbered without a hole | the venue's balances are the engine's, to the last unit |
//! | no trade is booked twice, over restarts too | the venue's trades are the recorded fills, each once, over restarts too |
//! | with everything open filled, no position is above its limit | nothing is locked, nothing is open; the sums of the funnel hold |
//! | the orders' totals are the sums over the orders | positions are what is held above the baselines, and realized what the venue's trades since the start make |
//! | nothing halts because books disagree, and no position from its balance | |
//! | nothing is asked over and over, and no connection while a ban is known | |

use crate::state::State;
use crate::venue::Holdings;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use veloz_core::config::KnownTrades;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::instrument::{AssetIndex, Instruments};
use veloz_core::order::{OrderState, Side};
use veloz_core::strategy::{Configured, Standing};
use veloz_core::telemetry::records::{HaltCause, Record, RecordBody};
use veloz_core::units::{E8, Nanos};
use veloz_core::venue::binance::fault::VenueFault;

use super::Report;
use super::setup::Left;

/// Largest position of any instrument either way.
pub(super) const POSITION_MAX: E8 = E8(50_000_000);

/// How often the same request may be on order links within [`REPEATS_IN`]: an operator and a strategy each once or twice,
/// and what their refusals make of it.
const REPEATS_MAX: usize = 8;
const REPEATS_IN: Nanos = Nanos::from_secs(1);
/// Requests after which the old ones are forgotten.
const ASKED_MAX: usize = 1_024;

type Brain = Engine<NoStopwatch, Configured>;

/// A trade as both sides must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Traded {
    buys: bool,
    price: E8,
    qty: E8,
}

/// What one instrument's fills of one run make, beside what was held when it began.
#[derive(Clone, Debug, Default)]
struct Line {
    /// Signed quantity, price, fee and its asset, in the order in which they were booked.
    fills: Vec<(i64, i64, i64, AssetIndex)>,
    /// Average entry of what was held, before the first fill.
    entry: Option<i64>,
}

impl Line {
    /// Gains minus losses at the end, of a position that ends with `held`: average cost, in units of 5e-17 of quote,
    /// shares rounded towards zero, the result down to 1e-8.
    fn realized(&self, held: i64, base: AssetIndex) -> i64 {
        let changes = self.fills.iter().map(|(qty, price, fee, asset)| {
            let fee = if *asset == base { *fee } else { 0 };
            (i128::from(qty - fee), i128::from(*price))
        });
        let changed: i128 = changes.clone().map(|(change, _)| change).sum();
        let first = self.fills.first().map(|(_, price, ..)| *price);
        let entry = i128::from(self.entry.or(first).unwrap_or_default());
        let mut qty = i128::from(held) - changed;
        let (mut cost, mut realized) = (2 * qty * entry, 0);
        for (change, price) in changes {
            if qty.signum() * change.signum() >= 0 {
                qty += change;
                cost += 2 * change * price;
                continue;
            }
            let closed = change.abs().min(qty.abs()) * qty.signum();
            let share = cost * closed / qty;
            realized += 2 * closed * price - share;
            cost -= share;
            qty -= closed;
            let opened = change + closed;
            qty += opened;
            cost += 2 * opened * price;
        }
        i64::try_from(realized.div_euclid(200_000_000)).unwrap_or(i64::MAX)
    }
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
    /// What the state file would hold of the records so far.
    state: State,
    /// This run's, by instrument.
    lines: Vec<Line>,
    /// What was asked on order links lately, and when.
    asked: BTreeMap<String, VecDeque<Nanos>>,
}

impl Checks {
    pub(super) fn new(instruments: &Instruments) -> Self {
        Self {
            next_sequence: 0,
            trades: BTreeMap::new(),
            report: Report::default(),
            state: State::default(),
            lines: vec![Line::default(); instruments.count()],
            asked: BTreeMap::new(),
            instruments: instruments.clone(),
        }
    }

    pub(super) fn report(&self) -> Report {
        self.report
    }

    /// Another engine begins: its records are numbered from zero.
    pub(super) fn restarted(&mut self) {
        self.next_sequence = 0;
        self.lines.fill(Line::default());
    }

    /// One request on an order link: the same may be repeated, but not over and over.
    pub(super) fn asked(&mut self, now: Nanos, text: &str) -> Result<(), String> {
        let mut request: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))?;
        // What differs between a request and its repetition.
        request["id"] = serde_json::Value::Null;
        request["params"]["timestamp"] = serde_json::Value::Null;
        request["params"]["signature"] = serde_json::Value::Null;
        if self.asked.len() == ASKED_MAX {
            self.asked
                .retain(|_, times| times.back().is_some_and(|at| now.since(*at) < REPEATS_IN));
        }
        let times = self.asked.entry(request.to_string()).or_default();
        while times.front().is_some_and(|at| now.since(*at) >= REPEATS_IN) {
            times.pop_front();
        }
        times.push_back(now);
        if times.len() > REPEATS_MAX {
            return Err(format!(
                "asked {} times within {} ms: {text}",
                times.len(),
                REPEATS_IN.as_ms()
            ));
        }
        Ok(())
    }

    /// Notes what positions began with.
    pub(super) fn observe(&mut self, engine: &Brain) {
        let Some(portfolio) = engine.portfolio() else {
            return;
        };
        for (index, _) in self.instruments.iter() {
            let line = &mut self.lines[index.as_usize()];
            if line.fills.is_empty() && line.entry.is_none() {
                let entry = portfolio.position(index).average_entry();
                line.entry = entry.map(|entry| entry.0);
            }
        }
    }

    /// What the next engine is told of the trades so far.
    pub(super) fn trades_known(&self) -> Vec<KnownTrades> {
        self.state.trades_known(&self.instruments)
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
        self.state.take_trade(&record.body, &self.instruments);
        match record.body {
            RecordBody::OrderAdmitted { .. } => self.report.orders += 1,
            RecordBody::OrderState {
                to: OrderState::Unresolved,
                ..
            } => self.report.unresolved += 1,
            RecordBody::Fill {
                instrument,
                side,
                fee_asset,
                trade_id,
                price,
                qty,
                fee,
                ..
            } => {
                self.report.fills += 1;
                let described = self.instruments.get(instrument);
                let traded = Traded {
                    buys: side == Side::Buy,
                    price: described.price(price),
                    qty: described.qty(qty),
                };
                let signed = side.sign() * traded.qty.0;
                self.lines[instrument.as_usize()].fills.push((
                    signed,
                    traded.price.0,
                    fee.0,
                    fee_asset,
                ));
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
            RecordBody::Fault { kind, detail, .. } if kind == VenueFault::PositionDiffers as u8 => {
                return Err(format!("a position is not what is held: {}", detail as i64));
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
    pub(super) fn compare(&self, engine: &Brain, ledger: &Ledger) -> Result<(), String> {
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
        if let Some((key, traded)) = theirs.difference(&ours).next() {
            return Err(format!(
                "we do not know the venue's trade {key:?} {traded:?}"
            ));
        }
        for (index, instrument) in self.instruments.iter() {
            let base = assets
                .find(instrument.base.as_bytes())
                .ok_or("an asset is unknown")?;
            let position = portfolio.position(index);
            let held = portfolio.total(base).0 - portfolio.baseline(base).unwrap_or_default().0;
            if position.qty().0 != held {
                return Err(format!(
                    "{}: {held} above the baseline are held, and the position is {}",
                    instrument.symbol,
                    position.qty().0
                ));
            }
            let realized = self.lines[index.as_usize()].realized(held, base);
            if position.realized().0 != realized {
                return Err(format!(
                    "{}: the venue's trades realized {realized}, and the position says {}",
                    instrument.symbol,
                    position.realized().0
                ));
            }
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

/// What the state file would have kept of an engine, beside what its records say.
pub(super) fn left(engine: &Brain) -> Left {
    let (Some(assets), Some(portfolio), Some(risk)) =
        (engine.assets(), engine.portfolio(), engine.risk())
    else {
        return Left::default();
    };
    Left {
        baselines: assets
            .iter()
            .filter_map(|(index, name)| Some((name, portfolio.baseline(index)?)))
            .collect(),
        trades_known: Vec::new(),
        kill_switch: risk.is_killed(),
        restored: portfolio.to_save(),
    }
}

/// What must hold between two events.
pub(super) fn state(engine: &Brain, instruments: &Instruments) -> Result<(), String> {
    let (Some(oms), Some(portfolio)) = (engine.oms(), engine.portfolio()) else {
        return Ok(());
    };
    for (index, instrument) in instruments.iter() {
        let totals = oms.totals(index);
        let (mut buys, mut sells, mut instead) = (0i128, 0i128, [0i128; 2]);
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
            // The venue takes one only when the other is gone untouched, so the larger of the two counts. An order that
            // is made smaller has no other.
            if order.state() == OrderState::ReplaceSent {
                let mut others = oms.open(index);
                let replacement = others.find(|other| {
                    other.side() == order.side()
                        && other.id() != order.id()
                        && other.admitted_at() == order.since()
                });
                if let Some(replacement) = replacement {
                    instead[side] += lots.min(i128::from(replacement.remaining().0));
                }
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
        let lot = i128::from(instrument.lot.unit().0);
        let position = i128::from(portfolio.position(index).qty().0);
        let long = position + (buys - instead[0]) * lot;
        let short = position - (sells - instead[1]) * lot;
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
