//! The account: what the venue tells of it, and what is published of it.
//!
//! Does not: value anything; the portfolio does. Invariant: gauges show what the portfolio held when they were
//! written; those of an instrument are at most a second old per eighty instruments.

use crate::instrument::InstrumentIndex;
use crate::order::Balance;
use crate::portfolio::BalanceChange;
use crate::strategy::Strategy;
use crate::telemetry::counters::Counter;
use crate::telemetry::gauges::{AccountGauges, Gauge, Marked, NOT_MEASURED, PositionGauges};
use crate::telemetry::records::RecordBody;
use crate::units::{E8, Nanos, VenueMillis};
use crate::venue::binance::rate::Use;

use super::{Desk, Stopwatch};

/// How often gauges of the account are written while nothing else asks for it.
pub(super) const PUBLISH_EVERY: Nanos = Nanos::from_ms(100);

/// Instruments whose gauges one publication writes; the others follow in turn. Their limits take a
/// microsecond each, and a turn of the loop must stay short.
const PUBLISHED_AT_ONCE_MAX: usize = 8;

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// The venue's absolute amounts of some assets.
    pub(in crate::engine) fn balances(&mut self, balances: &[Balance], as_of: VenueMillis) {
        for balance in balances {
            let portfolio = &mut self.trading.portfolio;
            let held = portfolio.holder_of(balance.asset);
            let before = held.map(|holder| portfolio.position(holder).qty());
            let change = portfolio.balance(*balance, as_of);
            let after = held.map(|holder| portfolio.position(holder).qty());
            if let Some(holder) = held
                && before != after
            {
                // The amount proves that the first one lacked a fill.
                self.publish_position(holder);
                self.trading.refresh_exposure(holder);
            }
            match change {
                BalanceChange::Older => continue,
                BalanceChange::First | BalanceChange::Agreed | BalanceChange::Rounded { .. } => {}
                BalanceChange::Differed { .. } => {
                    self.telemetry.counters.increment(Counter::BalanceFlows);
                }
            }
            self.telemetry.records.push(
                self.now,
                RecordBody::Balance {
                    asset: balance.asset,
                    free: balance.free,
                    locked: balance.locked,
                    at: as_of,
                },
            );
        }
    }

    /// Rolls the day, follows the peak, and writes all gauges.
    pub(super) fn publish_account(&mut self) {
        let now = self.now;
        if let Some(unix_ms) = self.clocks.unix_ms(now) {
            self.trading.portfolio.observe(unix_ms);
        }
        for _ in 0..self.markets.len().min(PUBLISHED_AT_ONCE_MAX) {
            let index = self.trading.publish_next;
            self.publish_gauges_of(index);
            self.publish_limits_of(index);
            let next = index.as_usize() + 1;
            self.trading.publish_next = InstrumentIndex((next % self.markets.len()) as u16);
        }
        let unresolved = self.unresolved_count();
        let utilization = self.trading.utilizations.iter().max().copied();
        let trading = &mut *self.trading;
        let portfolio = &trading.portfolio;
        let figures = portfolio.figures_total();
        let exposure = portfolio.exposure();
        let left = |used: Use| i64::from(used.limit.saturating_sub(used.used));
        let weight = self.budget.usage(now);
        let messages = left(trading.pace.usage(now));
        // The shortest window and the longest: ten seconds and a day.
        let mut windows: [Option<(Nanos, Use)>; 2] = [None; 2];
        for (window, used) in trading.order_budget.usage(now) {
            let headroom = Some((window, used));
            let [shortest, longest] = &mut windows;
            if shortest.is_none_or(|(known, _)| window < known) {
                *shortest = headroom;
            }
            if longest.is_none_or(|(known, _)| window > known) {
                *longest = headroom;
            }
        }
        let headrooms = windows.map(|window| window.map_or(NOT_MEASURED, |(_, used)| left(used)));
        let limits =
            windows.map(|window| window.map_or(NOT_MEASURED, |(_, used)| i64::from(used.limit)));
        let gauges = &mut self.telemetry.gauges;
        gauges.set(Gauge::TradingPhase, trading.phase.index() as i64);
        gauges.set(Gauge::TradingState, trading.risk.state().index() as i64);
        gauges.set(Gauge::KillSwitch, i64::from(trading.risk.is_killed()));
        gauges.set(Gauge::StrategyRunning, i64::from(trading.running));
        gauges.set(Gauge::OpenOrders, trading.oms.open_count() as i64);
        gauges.set(Gauge::UnresolvedOrders, i64::from(unresolved));
        gauges.set(
            Gauge::OldestUnresolvedNs,
            trading
                .oms
                .oldest_unresolved()
                .map_or(NOT_MEASURED, |(_, since)| since.0 as i64),
        );
        gauges.set(
            Gauge::RiskUtilizationBps,
            i64::from(utilization.unwrap_or_default()),
        );
        gauges.set(
            Gauge::Equity,
            portfolio.equity().map_or(NOT_MEASURED, |equity| equity.0),
        );
        gauges.set(
            Gauge::DayChange,
            portfolio.day_change().unwrap_or_default().0,
        );
        gauges.set(
            Gauge::DrawdownBps,
            i64::from(portfolio.drawdown_bps().unwrap_or_default()),
        );
        gauges.set(Gauge::ExposureLong, exposure.long.0);
        gauges.set(Gauge::ExposureShort, exposure.short.0);
        gauges.set(Gauge::RealizedTotal, figures.realized.0);
        gauges.set(Gauge::UnrealizedTotal, figures.unrealized.0);
        gauges.set(Gauge::WeightHeadroom, left(weight));
        gauges.set(Gauge::WeightLimit, i64::from(weight.limit));
        gauges.set(Gauge::OrdersHeadroom, headrooms[0]);
        gauges.set(Gauge::OrdersDayHeadroom, headrooms[1]);
        gauges.set(Gauge::OrdersLimit, limits[0]);
        gauges.set(Gauge::OrdersDayLimit, limits[1]);
        gauges.set(Gauge::MessagesHeadroom, messages);
        gauges.account(AccountGauges {
            restored: portfolio.to_save(),
            equity: portfolio.equity(),
        });
        self.telemetry.counters.funnel(&self.trading.funnel);
        self.trading.published_at = now;
    }

    /// Writes the gauges of one position.
    pub(super) fn publish_gauges_of(&mut self, instrument: InstrumentIndex) {
        let portfolio = &self.trading.portfolio;
        let position = portfolio.position(instrument);
        let figures = portfolio.figures(instrument);
        self.telemetry.gauges.position(
            instrument,
            PositionGauges {
                qty: position.qty(),
                entry: position.average_entry().unwrap_or(E8(0)),
                realized: figures.realized,
                realized_profit: figures.realized_profit,
                realized_loss: figures.realized_loss,
                marked: portfolio.position_value(instrument).map(|notional| Marked {
                    unrealized: figures.unrealized,
                    notional,
                }),
            },
        );
    }

    /// Writes how much of every limit one instrument uses.
    fn publish_limits_of(&mut self, index: InstrumentIndex) {
        let conditions = self.conditions(index, None, &[]);
        let instrument = self.instruments.get(index);
        let utilization = self
            .trading
            .risk
            .utilization(self.now, index, instrument, &conditions);
        self.trading.utilizations[index.as_usize()] = utilization.highest_bps;
        self.telemetry.gauges.limits(index, &utilization);
    }
}
