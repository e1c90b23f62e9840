//! The limits of a run, and whether what was admitted keeps them.
//!
//! Owns: [`Limits`], drawn by the seed, as both the engine's configuration and this side's measure. Does not: ask the
//! engine's risk for anything. Invariant: what is compared comes from records ([`Exposures`]), from the venue's account,
//! and from the best prices of the books.

use super::exposure::Exposures;
use super::{Brain, MONEY};
use crate::venue::Holdings;
use std::collections::VecDeque;
use veloz_core::book::Side as BookSide;
use veloz_core::instrument::Instruments;
use veloz_core::order::OrderKind;
use veloz_core::risk::{GlobalLimits, InstrumentLimits};
use veloz_core::units::{E8, E8_ONE, Nanos, Ticks};
use veloz_core::venue::binance::resync::SyncState;

/// How far equity and marks of this side may be from the engine's, in hundredths: deposits and fees that only one of the
/// two knows yet, and marks that moved within the event.
const TOLERANCE_PERCENT: i128 = 2;
const WITH_TOLERANCE: i128 = 100 + TOLERANCE_PERCENT;
/// How far the machine's clock may be off beyond its limit: half of the longest round trip to the venue, by which a
/// measurement of the offset can be wrong.
const OFFSET_TOLERANCE: Nanos = Nanos::from_secs(1);
const SECOND: Nanos = Nanos::from_secs(1);

/// The limits of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// By instrument.
    pub(super) position_max: [E8; 2],
    /// Of an instrument, and of all.
    pub(super) open_orders_max: [u32; 2],
    pub(super) orders_per_second_max: u32,
    pub(super) price_collar_bps: u32,
    pub(super) leverage_max_percent: Option<u32>,
    pub(super) concentration_max_percent: Option<u32>,
    pub(super) concentration_from: E8,
    pub(super) market_data_age_max: Nanos,
    pub(super) clock_offset_max: Nanos,
    /// What the account has of the assets at the start, when it is not what accounts have by default.
    pub(super) balances: Option<[(&'static str, E8); 4]>,
}

impl Limits {
    /// Limits that only much could break.
    pub(super) const WIDE: Self = Self {
        position_max: [E8(E8_ONE / 2), E8(E8_ONE / 2)],
        open_orders_max: [20, 40],
        orders_per_second_max: 200,
        price_collar_bps: 500,
        leverage_max_percent: None,
        concentration_max_percent: None,
        concentration_from: E8(0),
        market_data_age_max: Nanos::from_secs(2),
        clock_offset_max: Nanos::from_secs(1),
        balances: None,
    };

    /// Three seeds of five meet some of them all the time: a thousandth of the orders that are wanted is 150 of money.
    pub(super) fn of_seed(seed: u64) -> Self {
        match seed % 5 {
            // About 20,000 of equity: exposures of 800.
            0 => Self {
                leverage_max_percent: Some(4),
                balances: Some([
                    ("BTC", E8(E8_ONE / 10)),
                    ("ETH", E8(2 * E8_ONE)),
                    (MONEY, E8(8_000 * E8_ONE)),
                    ("BNB", E8(100 * E8_ONE)),
                ]),
                ..Self::WIDE
            },
            1 => Self {
                concentration_max_percent: Some(60),
                concentration_from: E8(500 * E8_ONE),
                ..Self::WIDE
            },
            // Some 400 of money each.
            2 => Self {
                position_max: [E8(600_000), E8(15_000_000)],
                open_orders_max: [4, 6],
                orders_per_second_max: 5,
                price_collar_bps: 1,
                ..Self::WIDE
            },
            _ => Self::WIDE,
        }
    }

    /// As the engine is told.
    pub(super) fn global(&self) -> GlobalLimits {
        GlobalLimits {
            open_orders_max: Some(self.open_orders_max[1]),
            orders_per_second_max: Some(self.orders_per_second_max),
            leverage_max_percent: self.leverage_max_percent,
            concentration_max_percent: self.concentration_max_percent,
            concentration_from: self.concentration_from,
            market_data_age_max: Some(self.market_data_age_max),
            clock_offset_max: Some(self.clock_offset_max),
            ..GlobalLimits::default()
        }
    }

    /// The same of one instrument.
    pub(super) fn of_instrument(&self, instrument: usize) -> InstrumentLimits {
        InstrumentLimits {
            position_max: Some(self.position_max[instrument]),
            open_orders_max: Some(self.open_orders_max[0]),
            price_collar_bps: Some(self.price_collar_bps),
            ..InstrumentLimits::default()
        }
    }
}

/// An order that risk let through, as the record of it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admission {
    pub(super) instrument: usize,
    pub(super) kind: OrderKind,
    pub(super) price: Ticks,
}

/// What this side knows of the moment of an admission.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) now: Nanos,
    /// Twice the middle of each book in 1e-8 of money; `None` where a book is not whole.
    pub(super) marks: Vec<Option<i128>>,
    /// What the account is worth, in 1e-8 of money; `None` where a mark is missing.
    pub(super) equity: Option<i128>,
    /// How wrong the machine's wall clock is.
    pub(super) wall_error_ns: i64,
}

/// Twice the middle of each book.
pub(super) fn marks(engine: &Brain, instruments: &Instruments) -> Vec<Option<i128>> {
    let mark = |(index, instrument): (_, &veloz_core::instrument::Instrument)| {
        let book = engine.book(index)?;
        if engine.book_state(index).0 != SyncState::Live {
            return None;
        }
        let (bid, ask) = (book.best(BookSide::Bid)?, book.best(BookSide::Ask)?);
        let twice =
            i128::from(instrument.price(bid.price).0) + i128::from(instrument.price(ask.price).0);
        Some(twice)
    };
    instruments.iter().map(mark).collect()
}

/// What the venue's account is worth at these marks.
pub(super) fn equity(
    holdings: &Holdings,
    marks: &[Option<i128>],
    instruments: &Instruments,
) -> Option<i128> {
    let mut sum = 0;
    for (asset, free, locked) in &holdings.balances {
        let held = i128::from(free.0) + i128::from(locked.0);
        if asset == MONEY {
            sum += held;
        }
        for ((_, instrument), mark) in instruments.iter().zip(marks) {
            if instrument.base.as_str() == asset {
                sum += held * (*mark)? / i128::from(2 * E8_ONE);
            }
        }
    }
    Some(sum)
}

/// What is watched of admissions.
pub(super) struct Watch {
    limits: Limits,
    symbols: Vec<String>,
    /// Twice the price of one tick, in 1e-8.
    twice_tick: Vec<i128>,
    /// Of this run, by the engine's clock, the last second.
    times: VecDeque<Nanos>,
    /// Since the last look.
    admitted: Vec<Admission>,
    /// When the last of them was.
    at: Option<Nanos>,
    /// What the positions could come to at the last look.
    worst: Vec<i128>,
    /// When market data came last.
    market_at: Option<Nanos>,
}

impl Watch {
    pub(super) fn new(limits: Limits, instruments: &Instruments) -> Self {
        let listed = || instruments.iter().map(|(_, instrument)| instrument);
        Self {
            limits,
            symbols: listed().map(|it| it.symbol.as_str().to_owned()).collect(),
            twice_tick: listed()
                .map(|it| 2 * i128::from(it.tick.unit().0))
                .collect(),
            times: VecDeque::new(),
            admitted: Vec::new(),
            at: None,
            worst: vec![0; instruments.count()],
            market_at: None,
        }
    }

    /// Another engine begins.
    pub(super) fn restarted(&mut self) {
        self.times.clear();
        self.admitted.clear();
        self.at = None;
    }

    /// Market data came.
    pub(super) fn market_came(&mut self, now: Nanos) {
        self.market_at = Some(now);
    }

    /// An order was admitted at `at` of the engine's clock.
    pub(super) fn admitted(&mut self, at: Nanos, admission: Admission) -> Result<(), String> {
        self.at = Some(at);
        self.admitted.push(admission);
        while self
            .times
            .front()
            .is_some_and(|first| at.since(*first) >= SECOND)
        {
            self.times.pop_front();
        }
        self.times.push_back(at);
        let most = self.limits.orders_per_second_max;
        if self.times.len() > most as usize {
            return Err(format!(
                "{} orders are admitted in a second, {most} at most",
                self.times.len()
            ));
        }
        Ok(())
    }

    /// When the orders since the last look were admitted; `None` when there are none.
    pub(super) fn since(&self) -> Option<Nanos> {
        self.at
    }

    /// Looks at what was admitted in the event that ends; without a moment only at what holds always.
    pub(super) fn look(
        &mut self,
        exposures: &Exposures,
        moment: Option<&Moment>,
    ) -> Result<(), String> {
        let admitted = std::mem::take(&mut self.admitted);
        self.at = None;
        let before = self.worst.clone();
        for (instrument, worst) in self.worst.iter_mut().enumerate() {
            *worst = exposures.worst(instrument);
        }
        self.positions(exposures)?;
        let Some(moment) = moment.filter(|_| !admitted.is_empty()) else {
            return Ok(());
        };
        self.moment(moment)?;
        let open: Vec<usize> = (0..self.symbols.len())
            .map(|it| exposures.open_count(it))
            .collect();
        for admission in &admitted {
            let (of_one, of_all) = (open[admission.instrument], open.iter().sum::<usize>());
            if of_one > self.limits.open_orders_max[0] as usize
                || of_all > self.limits.open_orders_max[1] as usize
            {
                return Err(format!(
                    "an order of {} is admitted as its {of_one}th and the {of_all}th of all, {:?} at most",
                    self.symbols[admission.instrument], self.limits.open_orders_max
                ));
            }
            self.collar(admission, moment)?;
        }
        let grew = |instrument: usize| self.worst[instrument] > before[instrument];
        if admitted.iter().any(|it| grew(it.instrument)) {
            self.leverage(exposures, moment)?;
        }
        // What the event ends with is what its last order met; an earlier one was a part of less.
        if let Some(last) = admitted.last()
            && grew(last.instrument)
        {
            self.concentration(last.instrument, exposures, moment)?;
        }
        Ok(())
    }

    /// No position can pass its limit.
    fn positions(&self, exposures: &Exposures) -> Result<(), String> {
        for (instrument, symbol) in self.symbols.iter().enumerate() {
            let most = i128::from(self.limits.position_max[instrument].0);
            let (position, long, short) = exposures.ends(instrument);
            if long.max(short) > most {
                return Err(format!(
                    "{symbol}: a position of {position} that can come to {long} or {} passes {most}",
                    -short
                ));
            }
        }
        Ok(())
    }

    fn moment(&self, moment: &Moment) -> Result<(), String> {
        let age = self.market_at.map(|at| moment.now.since(at));
        if age.is_none_or(|age| age > self.limits.market_data_age_max) {
            return Err(format!(
                "an order is admitted on market data of {age:?} ago"
            ));
        }
        let offset_max = self.limits.clock_offset_max.plus(OFFSET_TOLERANCE);
        if moment.wall_error_ns.unsigned_abs() > offset_max.0 {
            return Err(format!(
                "an order is admitted with a clock that is {} ns wrong",
                moment.wall_error_ns
            ));
        }
        Ok(())
    }

    fn collar(&self, admission: &Admission, moment: &Moment) -> Result<(), String> {
        let priced = match admission.kind {
            OrderKind::Limit | OrderKind::LimitMaker => true,
            OrderKind::Market => false,
        };
        let Some(twice_mark) = moment.marks[admission.instrument].filter(|_| priced) else {
            return Ok(());
        };
        let twice_price = i128::from(admission.price.0) * self.twice_tick[admission.instrument];
        let distance = (twice_price - twice_mark).abs();
        let bps = self.limits.price_collar_bps;
        if distance * 10_000 > twice_mark * i128::from(bps) {
            return Err(format!(
                "an order of {} is admitted at {}, more than {bps} bps from {}",
                self.symbols[admission.instrument],
                twice_price / 2,
                twice_mark / 2
            ));
        }
        Ok(())
    }

    /// Leverage, after orders that can make a position larger.
    fn leverage(&self, exposures: &Exposures, moment: &Moment) -> Result<(), String> {
        let gross = valued(moment, |position| exposures.worst(position));
        let (Some(percent), Some(gross), Some(equity)) =
            (self.limits.leverage_max_percent, gross, moment.equity)
        else {
            return Ok(());
        };
        if gross * 100 * 100 > equity * i128::from(percent) * WITH_TOLERANCE {
            return Err(format!(
                "orders are admitted, and exposures of {gross} are more than {percent} % of {equity}"
            ));
        }
        Ok(())
    }

    /// Concentration, after an order that can make the position larger.
    fn concentration(
        &self,
        instrument: usize,
        exposures: &Exposures,
        moment: &Moment,
    ) -> Result<(), String> {
        // Measured against everything open in full: what is to be replaced is still there. Whether the limit binds at all is
        // judged by what can come to be, an order and its replacement as one.
        let gross = valued(moment, |position| exposures.worst_in_full(position));
        let least = valued(moment, |position| exposures.worst(position));
        let (Some(percent), Some(gross), Some(least), Some(mark)) = (
            self.limits.concentration_max_percent,
            gross,
            least,
            moment.marks[instrument],
        ) else {
            return Ok(());
        };
        let own = value(exposures.worst(instrument), mark);
        if least * 100 > i128::from(self.limits.concentration_from.0) * WITH_TOLERANCE
            && own * 100 * 100 > gross * i128::from(percent) * WITH_TOLERANCE
        {
            return Err(format!(
                "an order of {} is admitted, and its exposure of {own} is more than {percent} % of {gross}",
                self.symbols[instrument]
            ));
        }
        Ok(())
    }
}

/// What positions of all instruments come to, in 1e-8 of money; `None` while a mark is missing.
fn valued(moment: &Moment, position: impl Fn(usize) -> i128) -> Option<i128> {
    let marks = moment.marks.iter().enumerate();
    marks
        .map(|(instrument, mark)| Some(value(position(instrument), (*mark)?)))
        .sum()
}

/// So much of a base at twice its mark, in 1e-8 of money.
fn value(base: i128, twice_mark: i128) -> i128 {
    base * twice_mark / i128::from(2 * E8_ONE)
}

#[cfg(test)]
mod tests;
