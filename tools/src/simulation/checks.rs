//! What must hold after every event, and what must agree in the end.
//!
//! Owns: [`Checks`], which follows the records, and [`Ledger`], the venue's own account. Does not: change anything.
//!
//! | always | in the end |
//! | --- | --- |
//! | records are numbered without a hole | the venue's balances are the engine's, to the last unit |
//! | no trade is booked twice, over restarts too, but for those that a death lost (`kept.rs`) | the venue's trades are the recorded fills, each once, over restarts too |
//! | with everything open filled, no position is above its limit, by the records | nothing is locked, nothing is open; the sums of the funnel hold |
//! | no admitted order breaks a limit (`limits.rs`), by the records, the venue's account and the books | |
//! | the orders' totals are the sums over the orders | positions are what is held above the baselines, and realized what the venue's trades since the start make |
//! | nothing halts because books disagree, and no position from its balance | |
//! | nothing is asked over and over, and no connection while a ban is known | |

use crate::venue::Holdings;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use veloz_core::config::KnownTrades;
use veloz_core::engine::{Engine, NoStopwatch};
use veloz_core::instrument::{AssetIndex, Instruments};
use veloz_core::order::{OrderState, Side};
use veloz_core::strategy::{Configured, Funnel, Standing};
use veloz_core::telemetry::records::{HaltCause, Record, RecordBody};
use veloz_core::units::{E8, Lots, Nanos};
use veloz_core::venue::binance::fault::VenueFault;

use super::Report;
use super::exposure::Exposures;
use super::kept::Kept;
use super::limits::{Admission, Limits, Moment, Watch};
use super::setup::Left;

/// How often the same request may be on order links within [`REPEATS_IN`]: an operator and a strategy each once or twice,
/// and what their refusals make of it.
const REPEATS_MAX: usize = 8;
/// How often the same cancel may: the operator of a run sends a command every 70 ms or so, and each may be for the same order. An
/// engine that asks by itself without a pause asks as often as it is answered, some 200 times.
const CANCELS_MAX: usize = 16;
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
    /// What the state file holds of the records so far.
    kept: Kept,
    /// This run's, by instrument.
    lines: Vec<Line>,
    /// What was asked on order links lately, and when.
    asked: BTreeMap<String, VecDeque<Nanos>>,
    exposures: Exposures,
    watch: Watch,
    /// How often the venue refused for its limits or our clock.
    refusals: BTreeMap<&'static str, u64>,
}

/// The account as the engine has it.
pub(super) struct Ours {
    /// Assets by name, with all that is held of each.
    totals: Vec<(String, E8)>,
    /// By instrument.
    positions: Vec<Held>,
    /// Whether the sums of the funnel hold.
    funnel: Result<(), String>,
}

/// One position.
struct Held {
    symbol: String,
    base: AssetIndex,
    /// Of the base asset beside trading.
    baseline: E8,
    qty: E8,
    realized: E8,
}

impl Ours {
    pub(super) fn of(engine: &Brain, instruments: &Instruments) -> Result<Self, String> {
        let (Some(oms), Some(portfolio), Some(assets), Some(funnel)) = (
            engine.oms(),
            engine.portfolio(),
            engine.assets(),
            engine.funnel(),
        ) else {
            return Err("the engine has no account".to_owned());
        };
        let mut positions = Vec::new();
        for (index, instrument) in instruments.iter() {
            let base = assets
                .find(instrument.base.as_bytes())
                .ok_or("an asset is unknown")?;
            let position = portfolio.position(index);
            positions.push(Held {
                symbol: instrument.symbol.as_str().to_owned(),
                base,
                baseline: portfolio.baseline(base).unwrap_or_default(),
                qty: position.qty(),
                realized: position.realized(),
            });
        }
        let standing = standing(
            oms.open_all()
                .map(|order| (order.venue_order_id().is_some(), order.state())),
        );
        let totals = assets.iter();
        Ok(Self {
            totals: totals
                .map(|(index, name)| (name.as_str().to_owned(), portfolio.total(index)))
                .collect(),
            positions,
            funnel: funnel_holds(funnel, &standing),
        })
    }
}

/// Orders between two stages: whether the venue is known to have each, and its state.
fn standing(orders: impl Iterator<Item = (bool, OrderState)>) -> Standing {
    let mut standing = Standing::default();
    for order in orders {
        match order {
            (true, _) => standing.open += 1,
            (false, OrderState::Unresolved) => standing.unresolved += 1,
            (false, _) => standing.unanswered += 1,
        }
    }
    standing
}

fn funnel_holds(funnel: &Funnel, standing: &Standing) -> Result<(), String> {
    funnel.check(standing).map_err(|leak| leak.to_string())
}

impl Checks {
    pub(super) fn new(instruments: &Instruments, limits: Limits, seed: u64) -> Self {
        Self {
            exposures: Exposures::new(instruments),
            watch: Watch::new(limits, instruments),
            refusals: BTreeMap::new(),
            next_sequence: 0,
            trades: BTreeMap::new(),
            report: Report::default(),
            kept: Kept::new(instruments, seed),
            lines: vec![Line::default(); instruments.count()],
            asked: BTreeMap::new(),
            instruments: instruments.clone(),
        }
    }

    pub(super) fn report(&self) -> &Report {
        &self.report
    }

    /// The engine died at `now`, and another begins: its records are numbered from zero.
    pub(super) fn restarted(&mut self, now: Nanos) {
        self.kept.die(now);
        self.next_sequence = 0;
        self.lines.fill(Line::default());
        self.exposures.restarted();
        self.watch.restarted();
    }

    /// How often the venue refused for its limits or our clock, by code.
    pub(super) fn refusals(&self) -> &BTreeMap<&'static str, u64> {
        &self.refusals
    }

    /// Something reached the engine.
    pub(super) fn arrived(&mut self, now: Nanos, of_market: bool) {
        if of_market {
            self.watch.market_came(now);
        }
    }

    /// When orders were admitted, by the engine's clock, at which [`limits`](Self::limits) has not looked yet.
    pub(super) fn admitted(&self) -> Option<Nanos> {
        self.watch.since()
    }

    /// The records of an event are told: limits hold after it.
    pub(super) fn limits(&mut self, moment: Option<&Moment>) -> Result<(), String> {
        self.exposures.end_of_event();
        self.watch.look(&self.exposures, moment)
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
        let most = if request["method"] == "order.cancel" {
            CANCELS_MAX
        } else {
            REPEATS_MAX
        };
        let times = self.asked.entry(request.to_string()).or_default();
        while times.front().is_some_and(|at| now.since(*at) >= REPEATS_IN) {
            times.pop_front();
        }
        times.push_back(now);
        if times.len() > most {
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
        self.kept.trades_known()
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
        let is_told_again = self.kept.take(record.at, &record.body);
        self.exposures.record(&record.body, is_told_again);
        match record.body {
            RecordBody::OrderAdmitted {
                instrument,
                kind,
                price,
                ..
            } => {
                self.report.orders += 1;
                let admission = Admission {
                    instrument: instrument.as_usize(),
                    kind,
                    price,
                };
                self.watch.admitted(record.at, admission)?;
            }
            RecordBody::VenueRefused { code, .. } => self.refused(i64::from(code)),
            RecordBody::RequestRefused { code, .. } => self.refused(code),
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
                let before = self
                    .trades
                    .insert((instrument.as_usize(), trade_id), traded);
                if is_told_again && before == Some(traded) {
                    self.report.told_again += 1;
                } else if before.is_some() {
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

    fn refused(&mut self, code: i64) {
        let name = match code {
            -1003 => "-1003",
            -1015 => "-1015",
            -1021 => "-1021",
            _ => return,
        };
        *self.refusals.entry(name).or_default() += 1;
    }

    /// What must agree in the end.
    pub(super) fn compare(&self, ours: &Ours, ledger: &Ledger) -> Result<(), String> {
        if ledger.open != 0 {
            return Err(format!("{} orders are open at the venue", ledger.open));
        }
        for (name, ours) in &ours.totals {
            let (free, locked) = ledger.totals.get(name).copied().unwrap_or_default();
            if locked != E8(0) {
                return Err(format!("{locked} {name} are locked, and nothing is open"));
            }
            if *ours != free {
                return Err(format!("the venue has {free} {name}, we have {ours}"));
            }
        }
        let booked: BTreeSet<_> = self.trades.iter().collect();
        let theirs: BTreeSet<_> = ledger.trades.iter().collect();
        if let Some((key, traded)) = booked.difference(&theirs).next() {
            return Err(format!(
                "the venue does not know our fill {key:?} {traded:?}"
            ));
        }
        if let Some((key, traded)) = theirs.difference(&booked).next() {
            return Err(format!(
                "we do not know the venue's trade {key:?} {traded:?}"
            ));
        }
        for (line, held) in self.lines.iter().zip(&ours.positions) {
            let mut totals = ours.totals.iter();
            let total = totals
                .nth(held.base.as_usize())
                .map_or(E8(0), |(_, total)| *total);
            let above = total.0 - held.baseline.0;
            if held.qty.0 != above {
                return Err(format!(
                    "{}: {above} above the baseline are held, and the position is {}",
                    held.symbol, held.qty.0
                ));
            }
            let realized = line.realized(above, held.base);
            if held.realized.0 != realized {
                return Err(format!(
                    "{}: the venue's trades realized {realized}, and the position says {}",
                    held.symbol, held.realized.0
                ));
            }
        }
        ours.funnel.clone()
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

/// The totals of the engine's orders are the sums over them, between two events.
pub(super) fn totals(engine: &Brain, instruments: &Instruments) -> Result<(), String> {
    let Some(oms) = engine.oms() else {
        return Ok(());
    };
    for (index, instrument) in instruments.iter() {
        let totals = oms.totals(index);
        let counted = (
            totals.open_count,
            totals.buy_remaining_lots,
            totals.sell_remaining_lots,
        );
        let orders = oms
            .open(index)
            .map(|order| (order.side(), order.remaining()));
        sums_agree(instrument.symbol.as_str(), orders, counted)?;
    }
    Ok(())
}

/// How many orders, and lots to buy and to sell, were `counted`, and are there.
fn sums_agree(
    symbol: &str,
    orders: impl Iterator<Item = (Side, Lots)>,
    counted: (u32, i128, i128),
) -> Result<(), String> {
    let mut sums = (0, 0, 0);
    for (side, remaining) in orders {
        sums.0 += 1;
        match side {
            Side::Buy => sums.1 += i128::from(remaining.0),
            Side::Sell => sums.2 += i128::from(remaining.0),
        }
    }
    if sums == counted {
        return Ok(());
    }
    Err(format!(
        "{symbol}: {} orders with {} and {} lots are counted as {} with {} and {}",
        sums.0, sums.1, sums.2, counted.0, counted.1, counted.2
    ))
}

#[cfg(test)]
pub(super) mod tests;
