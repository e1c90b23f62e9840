//! The one door to the venue: [`Risk::admit`].
//!
//! Owns: [`Risk`], which holds the limits, the trading state with its latch, and the times of the last
//! admissions; and the checks themselves. Does not: know orders, books or accounts; each call is told of
//! the moment by [`Conditions`]. Cancels and reductions of open orders (amends) do not come here: they
//! only make exposure smaller.
//!
//! Invariants: money is compared exactly, in products of 128 bits; sums of base amounts that would leave
//! 64 bits stay at their end, beyond every limit. The admitted path divides only to price a market order
//! with a collar and where quote and account currency differ. Nothing allocates after [`Risk::new`].

use super::conditions::Conditions;
use super::exposure::{added_exposure_twice_e16, position_after, reduces};
use super::pricing::{Market, NOTIONAL_E16_MAX, Priced, Step, check_order, check_qty, e16};
use super::pricing::{is_within_collar, price, twice_mark};
use super::rate::OrderTimes;
use super::{Admitted, GlobalLimits, InstrumentLimits, LimitsChange, LimitsError};
use super::{Rejection, TradingState};
use crate::instrument::{Instrument, InstrumentIndex};
use crate::order::{Intent, OrderKind, Side};
use crate::units::{E8, E8_ONE, Lots, Nanos, Ticks};

/// The state cannot change: the kill switch is latched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kill switch is latched and must be reset first")]
pub struct Latched;

/// What the last admitted order of an instrument was, for utilization.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastOrder {
    pub(super) qty: Lots,
    /// The price that its notional counts.
    pub(super) dearest: Ticks,
    /// Its price, or the touch that a market order was priced at.
    pub(super) price: Ticks,
    /// Twice the mark then.
    pub(super) twice_mark: i64,
}

/// An instrument's limits as the checks want them: no limit is the largest value of its type.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Lots.
    pub(super) order_qty: i64,
    /// 1e-16 of quote; at most [`NOTIONAL_E16_MAX`].
    pub(super) order_notional_e16: i128,
    /// 1e-8 of base.
    position_e8: i64,
    open_orders: u32,
    pub(super) collar_bps: u64,
}

impl Bounds {
    fn new(limits: &InstrumentLimits) -> Self {
        Self {
            order_qty: limits.order_qty_max.map_or(i64::MAX, |max| max.0),
            order_notional_e16: limits.order_notional_max.map_or(NOTIONAL_E16_MAX, e16),
            position_e8: limits.position_max.map_or(i64::MAX, |max| max.0),
            open_orders: limits.open_orders_max.unwrap_or(u32::MAX),
            collar_bps: limits.price_collar_bps.map_or(u64::MAX, u64::from),
        }
    }
}

/// What risk keeps of one instrument.
pub(super) struct PerInstrument {
    pub(super) limits: InstrumentLimits,
    pub(super) bounds: Bounds,
    pub(super) last: Option<LastOrder>,
    pub(super) step: Step,
    pub(super) market_step: Step,
}

/// Limits, trading state and order rate; see the module's text.
pub struct Risk {
    pub(super) global: GlobalLimits,
    pub(super) instruments: Vec<PerInstrument>,
    pub(super) times: OrderTimes,
    state: TradingState,
    latched: bool,
}

impl Risk {
    /// Risk over as many instruments as there are limits, in the order of their indices;
    /// [`TradingState::Active`].
    ///
    /// # Errors
    /// When a limit is outside its range.
    pub fn new(
        global: GlobalLimits,
        instruments: Vec<InstrumentLimits>,
    ) -> Result<Self, LimitsError> {
        global.validate()?;
        for limits in &instruments {
            limits.validate()?;
        }
        Ok(Self {
            global,
            instruments: instruments
                .into_iter()
                .map(|limits| PerInstrument {
                    limits,
                    bounds: Bounds::new(&limits),
                    last: None,
                    step: Step::new(1),
                    market_step: Step::new(1),
                })
                .collect(),
            times: OrderTimes::new(),
            state: TradingState::Active,
            latched: false,
        })
    }

    /// What may be traded now: [`TradingState::Halted`] as long as the kill switch is latched.
    #[inline]
    pub fn state(&self) -> TradingState {
        if self.latched {
            TradingState::Halted
        } else {
            self.state
        }
    }

    /// Whether the kill switch is latched.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.latched
    }

    /// Sets the trading state. Halting is always possible.
    ///
    /// # Errors
    /// [`Latched`] for any state but [`TradingState::Halted`] while the kill switch is.
    pub fn set_state(&mut self, state: TradingState) -> Result<(), Latched> {
        if self.latched && state != TradingState::Halted {
            return Err(Latched);
        }
        self.state = state;
        Ok(())
    }

    /// Latches the kill switch: nothing is admitted until it is reset. Also what a start does that finds
    /// it latched in the state file. The caller cancels and keeps the latch across restarts.
    pub fn kill(&mut self) {
        self.latched = true;
        self.state = TradingState::Halted;
    }

    /// Unlatches the kill switch. Trading stays [`TradingState::Halted`]: to start it again is a second
    /// decision.
    pub fn reset_kill_switch(&mut self) {
        self.latched = false;
    }

    /// The global limits.
    pub fn global_limits(&self) -> &GlobalLimits {
        &self.global
    }

    /// The limits of an instrument.
    pub fn limits(&self, instrument: InstrumentIndex) -> &InstrumentLimits {
        &self.instruments[instrument.as_usize()].limits
    }

    /// Replaces limits; the next intent meets the new ones.
    ///
    /// # Errors
    /// When a limit is outside its range or the instrument does not exist; nothing changes then.
    pub fn set_limits(&mut self, change: LimitsChange) -> Result<(), LimitsError> {
        match change {
            LimitsChange::Global(limits) => {
                limits.validate()?;
                self.global = limits;
            }
            LimitsChange::Instrument(index, limits) => {
                limits.validate()?;
                let own = self
                    .instruments
                    .get_mut(index.as_usize())
                    .ok_or(LimitsError::UnknownInstrument(index))?;
                own.limits = limits;
                own.bounds = Bounds::new(&limits);
            }
        }
        Ok(())
    }

    /// Whether a change loosens nothing; such a change needs nobody's second look. A change of an
    /// instrument that does not exist loosens nothing either, and [`Risk::set_limits`] refuses it.
    pub fn is_tightening(&self, change: &LimitsChange) -> bool {
        match change {
            LimitsChange::Global(limits) => limits.is_within(&self.global),
            LimitsChange::Instrument(index, limits) => self
                .instruments
                .get(index.as_usize())
                .is_none_or(|instrument| limits.is_within(&instrument.limits)),
        }
    }

    /// Lets an intent become an order, or says why not: the first reason in the order of the table
    /// above.
    ///
    /// A replacement comes here as a new order, and `conditions` leave out what the old one may still trade:
    /// the venue takes the new one only when the old one is gone and nothing of it traded (`ONLY_NEW`). The
    /// exposures alone still contain it.
    ///
    /// # Errors
    /// The reason.
    ///
    /// # Panics
    /// When the intent's instrument has no limits here.
    #[inline]
    pub fn admit(
        &mut self,
        now: Nanos,
        intent: &Intent,
        instrument: &Instrument,
        conditions: &Conditions,
    ) -> Result<Admitted, Rejection> {
        let market = self.check_engine(now, intent, instrument, conditions)?;
        let own = &mut self.instruments[intent.instrument.as_usize()];
        let qty = check_qty(own, intent, instrument)?;
        let priced = price(own, intent, instrument, market, qty)?;
        check_order(own, intent, instrument, &priced)?;
        let after = position_after(intent.side, instrument, conditions, &priced);
        if after > own.bounds.position_e8 || (self.state != TradingState::Active && after > 0) {
            return Err(Rejection::MaxPosition);
        }
        let venue_max = instrument.order_rules.open_orders_max.unwrap_or(u32::MAX);
        if open_count(conditions) >= own.bounds.open_orders.min(venue_max)
            || conditions.open_orders_total >= self.global.open_orders_max.unwrap_or(u32::MAX)
        {
            return Err(Rejection::MaxOpenOrders);
        }
        if !is_within_collar(own, &priced, market) {
            return Err(Rejection::PriceCollar);
        }
        if let Some(limit) = self.global.orders_per_second_max
            && !self.times.has_room(now, limit)
        {
            return Err(Rejection::OrderRate);
        }
        check_exposure(
            &self.global,
            intent,
            instrument,
            conditions,
            &priced,
            market,
        )?;
        check_account(intent, instrument, conditions, &priced)?;

        self.times.push(now);
        own.last = Some(LastOrder {
            qty: intent.qty,
            dearest: priced.price.max(priced.reach),
            price: priced.price,
            twice_mark: market.twice_mark,
        });
        Ok(Admitted(*intent))
    }

    /// Whether the engine may trade now, and what there is to price an order with.
    #[inline]
    fn check_engine(
        &self,
        now: Nanos,
        intent: &Intent,
        instrument: &Instrument,
        conditions: &Conditions,
    ) -> Result<Market, Rejection> {
        if self.latched {
            return Err(Rejection::KillSwitch);
        }
        if !conditions.ready || !instrument.trading || self.state == TradingState::Halted {
            return Err(Rejection::NotReady);
        }
        let touch = conditions.touch.ok_or(Rejection::BookNotLive)?;
        let price = match intent.kind {
            OrderKind::Limit | OrderKind::LimitMaker => Some(intent.price),
            OrderKind::Market => match intent.side {
                Side::Buy => touch.ask,
                Side::Sell => touch.bid,
            }
            .filter(|price| *price > Ticks(0)),
        };
        let (Some(price), Some(twice_mark)) = (price, twice_mark(touch)) else {
            return Err(Rejection::BookNotLive);
        };
        if let Some(limit) = self.global.market_data_age_max
            && now.since(touch.updated_at) > limit
        {
            return Err(Rejection::StaleMarketData);
        }
        if conditions.backlog {
            return Err(Rejection::TelemetryBacklog);
        }
        if conditions.link_backpressure {
            return Err(Rejection::LinkBackpressure);
        }
        if let Some(limit) = self.global.clock_offset_max
            && conditions
                .clock_offset_ns
                .is_none_or(|offset| offset.unsigned_abs() > limit.0)
        {
            return Err(Rejection::ClockUntrusted);
        }
        Ok(Market { price, twice_mark })
    }
}

/// Open orders of the instrument.
#[inline]
pub(super) fn open_count(conditions: &Conditions) -> u32 {
    conditions
        .open_buys
        .count
        .saturating_add(conditions.open_sells.count)
}

/// Leverage and concentration, which an order can only break by making the worst position larger, or
/// where that is not certain by not only reducing it; and
/// the losses, after which only orders that make the position smaller pass; so too while they are not known.
#[inline]
fn check_exposure(
    limits: &GlobalLimits,
    intent: &Intent,
    instrument: &Instrument,
    conditions: &Conditions,
    priced: &Priced,
    market: Market,
) -> Result<(), Rejection> {
    if limits.leverage_max_percent.is_some() || limits.concentration_max_percent.is_some() {
        let added = added_exposure_twice_e16(intent.side, instrument, conditions, priced, market)
            .ok_or(Rejection::MaxLeverage)?;
        // The side that seems the smaller one may be the larger when the other one holds an order twice.
        let may_grow =
            conditions.counts_twice && !reduces(intent.side, instrument, conditions, priced);
        if added > 0 || may_grow {
            let twice_e16 = |exposure: E8| i128::from(exposure.0) * i128::from(2 * E8_ONE);
            let Some(gross) = conditions.gross_exposure else {
                return Err(if limits.leverage_max_percent.is_some() {
                    Rejection::MaxLeverage
                } else {
                    Rejection::MaxConcentration
                });
            };
            let gross = twice_e16(gross) + added;
            if let Some(percent) = limits.leverage_max_percent {
                let unit = 2 * E8_ONE * i64::from(percent);
                if gross * 100 > i128::from(conditions.equity.0) * i128::from(unit) {
                    return Err(Rejection::MaxLeverage);
                }
            }
            if let Some(percent) = limits.concentration_max_percent {
                let own = twice_e16(conditions.instrument_exposure) + added;
                if gross > twice_e16(limits.concentration_from)
                    && own * 100 > gross * i128::from(percent)
                {
                    return Err(Rejection::MaxConcentration);
                }
            }
        }
    }
    if let Some(limit) = limits.daily_loss_max
        && conditions
            .day_change
            .is_none_or(|change| change.0 <= -limit.0)
        && !reduces(intent.side, instrument, conditions, priced)
    {
        return Err(Rejection::DailyLoss);
    }
    if let Some(limit) = limits.drawdown_max_bps
        && conditions.drawdown_bps.is_none_or(|bps| bps >= limit)
        && !reduces(intent.side, instrument, conditions, priced)
    {
        return Err(Rejection::MaxDrawdown);
    }
    Ok(())
}

/// What the account and the venue say about it.
#[inline]
fn check_account(
    intent: &Intent,
    instrument: &Instrument,
    conditions: &Conditions,
    priced: &Priced,
) -> Result<(), Rejection> {
    let meets_own = match intent.side {
        Side::Buy => conditions
            .open_sells
            .best_price
            .is_some_and(|ask| priced.reach >= ask),
        Side::Sell => conditions
            .open_buys
            .best_price
            .is_some_and(|bid| priced.reach <= bid),
    };
    if meets_own || !instrument.order_rules.allows(intent.self_trade_prevention) {
        return Err(Rejection::SelfTrade);
    }
    if conditions.duplicate_client_id {
        return Err(Rejection::DuplicateClientOrderId);
    }
    let covered = match intent.side {
        Side::Buy => priced.notional_e16 <= e16(conditions.available_quote),
        Side::Sell => priced.qty_e8 <= conditions.available_base.0,
    };
    if !covered {
        return Err(Rejection::InsufficientBalance);
    }
    if !conditions.venue_budget_ready {
        return Err(Rejection::VenueRateBudget);
    }
    Ok(())
}
