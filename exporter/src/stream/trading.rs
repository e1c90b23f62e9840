//! Events of orders, the account, the strategy and risk.
//!
//! Owns: [`TradingEvents`]. Does not: keep orders; `trading.rs` does, and tells what a record changed. Balances are
//! shown together, at most every [`SHOW_EVERY`], because one fill changes several; a strategy's figures every
//! [`STRATEGY_EVERY`]. Invariant: an alert of one kind is shown once a second at most, because a strategy that is refused at
//! every book update must not push orders out of the history; the counts hold them all.

use super::Hub;
use super::event::{
    Account, Balance, CancelReceived, Decimal, Error, Fill, OrderReceived, OrderState, OrderUpdate,
    RiskAlert, StrategyLoaded, StrategyMetrics, StrategyName, StrategyStatus, StreamEvent,
};
use crate::latency::StageBuckets;
use crate::trading::{OrderEvent, OrderLine, Told, TradingView};
use std::sync::Arc;
use veloz_core::event::Token;
use veloz_core::instrument::{InstrumentIndex, Instruments};
use veloz_core::order::{ClientId, OrderKind, Side};
use veloz_core::risk::Rejection;
use veloz_core::strategy::Stage as FunnelStage;
use veloz_core::telemetry::counters::CounterReader;
use veloz_core::telemetry::gauges::{Gauge, GaugeReader};
use veloz_core::telemetry::records::{Record, RecordBody, TradingPhase};
use veloz_core::units::{E8, Lots, Nanos, Ticks};

/// How often balances are shown at most.
const SHOW_EVERY: Nanos = Nanos::from_ms(100);
/// How often a strategy's figures are shown.
const STRATEGY_EVERY: Nanos = Nanos::from_secs(5);
/// How often one kind of alert is shown at most.
const ALERT_EVERY: Nanos = Nanos::from_secs(1);

/// The command label of a cancel, as `trading/commands.rs` has it.
const CANCEL: &str = "cancel_order";

/// What a step looks at.
pub struct Looks<'a> {
    /// What records told.
    pub view: &'a TradingView,
    /// The core's values.
    pub gauges: &'a GaugeReader,
    /// The core's counts.
    pub counters: &'a CounterReader,
    /// How long decisions took.
    pub decisions: &'a StageBuckets,
}

/// Turns what happens to orders and the account into events.
pub struct TradingEvents {
    hub: Hub,
    instruments: Arc<Instruments>,
    strategy: &'static str,
    unix_ns_at_zero: i64,
    /// Since when balances wait to be shown.
    balances_ts_ns: Option<i64>,
    balances_shown_at: Option<Nanos>,
    alerted: [Option<Nanos>; Rejection::ALL.len()],
    standing: StrategyStanding,
    started_at: Option<Nanos>,
    figures_due: Nanos,
    published: bool,
}

/// What was told of the strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StrategyStanding {
    /// Nothing: there is none, or no account yet.
    Absent,
    /// It is there and does not run.
    Stopped,
    /// It runs.
    Running,
    /// It runs and waits: trading is not ready.
    Paused,
}

impl TradingEvents {
    /// Events about these instruments, into `hub`. `strategy` is the strategy's label; `none` without one.
    pub fn new(hub: Hub, instruments: Arc<Instruments>, strategy: &'static str) -> Self {
        Self {
            hub,
            instruments,
            strategy,
            unix_ns_at_zero: 0,
            balances_ts_ns: None,
            balances_shown_at: None,
            alerted: [None; Rejection::ALL.len()],
            standing: StrategyStanding::Absent,
            started_at: None,
            figures_due: Nanos::ZERO,
            published: false,
        }
    }

    /// Says what Unix time it was, in nanoseconds, when the engine's clock read zero.
    pub fn set_wall_clock(&mut self, unix_ns_at_zero: i64) {
        self.unix_ns_at_zero = unix_ns_at_zero;
    }

    /// Takes a record, and what it changed.
    pub fn record(&mut self, record: &Record, told: &Told) {
        let ts_ns = self.unix_ns(record.at);
        self.asked(record, told);
        if let Some(event) = &told.event {
            self.order_update(event, told.order.map(|order| order.instrument));
            if let Some(order) = &told.order {
                self.order_state(order);
            }
        }
        if let Some(fill) = &told.fill {
            let event = StreamEvent::Fill(Fill {
                ts_ns,
                client_order_id: &fill.name(),
                symbol: fill.symbol.as_str(),
                qty: Decimal(fill.qty),
                price: Decimal(fill.price),
            });
            self.publish(&event, Some(fill.instrument));
        }
        match record.body {
            RecordBody::Balance { .. } => self.balances_ts_ns = Some(ts_ns),
            RecordBody::OrderFault {
                instrument, fault, ..
            } => {
                let event = StreamEvent::Error(Error {
                    ts_ns,
                    message: "binance_ws_error",
                    cause: fault.label(),
                });
                self.publish(&event, Some(instrument));
            }
            RecordBody::OrderRejected {
                instrument,
                reason,
                side,
                ..
            } => self.refused(record.at, instrument, reason, side),
            RecordBody::TradingState { from, to, cause } => {
                let (from, to, cause) = (from.label(), to.label(), cause.label());
                let message = format!("trading state {to}, before {from}: {cause}");
                self.alert(ts_ns, "trading_state", None, &message);
            }
            RecordBody::KillSwitch { latched, cause } => {
                let what = if latched { "latched" } else { "reset" };
                let message = format!("kill switch {what}: {}", cause.label());
                self.alert(ts_ns, "kill_switch", None, &message);
            }
            RecordBody::LinkUp { .. }
            | RecordBody::LinkDown { .. }
            | RecordBody::BookState { .. }
            | RecordBody::Resync { .. }
            | RecordBody::Fault { .. }
            | RecordBody::RequestRefused { .. }
            | RecordBody::EngineState { .. }
            | RecordBody::Shutdown { .. }
            | RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderAlias { .. }
            | RecordBody::OrderAdopted { .. }
            | RecordBody::OrderState { .. }
            | RecordBody::Fill { .. }
            | RecordBody::VenueRefused { .. }
            | RecordBody::CommandDone { .. }
            | RecordBody::Position { .. }
            | RecordBody::Baseline { .. }
            | RecordBody::TradesKnown { .. }
            | RecordBody::TradingPhase { .. }
            | RecordBody::Limits { .. } => {}
        }
    }

    /// Shows what waited long enough, and wakes the clients when there is anything new.
    pub fn step(&mut self, now: Nanos, looks: &Looks<'_>) {
        let due = self
            .balances_shown_at
            .is_none_or(|at| now.since(at) >= SHOW_EVERY);
        if due && let Some(ts_ns) = self.balances_ts_ns.take() {
            self.balances_shown_at = Some(now);
            self.account(ts_ns, looks.view);
        }
        self.strategy(now, looks);
        if std::mem::take(&mut self.published) {
            self.hub.announce();
        }
    }

    /// A command that reached the core: what was asked for.
    fn asked(&mut self, record: &Record, told: &Told) {
        match record.body {
            RecordBody::OrderAdmitted {
                instrument,
                side,
                kind,
                price,
                qty,
                token,
                ..
            } if token != Token::default() => {
                let is_market = kind == OrderKind::Market;
                self.order_received(told, token, instrument, side, is_market, (price, qty));
            }
            // The record does not say whether it was a market order; those have no price.
            RecordBody::OrderRejected {
                instrument,
                side,
                price,
                qty,
                token,
                ..
            } if token != Token::default() => {
                let is_market = price.0 == 0;
                self.order_received(told, token, instrument, side, is_market, (price, qty));
            }
            RecordBody::CommandDone { token, order, .. } => {
                let Some(asked) = told.asked.as_ref().filter(|asked| asked.command == CANCEL)
                else {
                    return;
                };
                let number = order.map(|order| order.to_string());
                let name = asked.client_id.as_ref().map(ClientId::as_str);
                let event = StreamEvent::CancelReceived(CancelReceived {
                    command_id: token.0,
                    client_order_id: name.or(number.as_deref()).unwrap_or_default(),
                });
                self.publish(&event, None);
            }
            RecordBody::OrderAdmitted { .. }
            | RecordBody::OrderRejected { .. }
            | RecordBody::LinkUp { .. }
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
            | RecordBody::Limits { .. } => {}
        }
    }

    fn order_received(
        &mut self,
        told: &Told,
        token: Token,
        instrument: InstrumentIndex,
        side: Side,
        is_market: bool,
        (price, qty): (Ticks, Lots),
    ) {
        let instruments = Arc::clone(&self.instruments);
        let of = instruments.get(instrument);
        let name = told.asked.as_ref().and_then(|asked| asked.client_id);
        let number = told.order.map(|line| line.id.to_string());
        let name = name.as_ref().map(ClientId::as_str);
        let event = StreamEvent::OrderReceived(OrderReceived {
            command_id: token.0,
            client_order_id: name.or(number.as_deref()).unwrap_or_default(),
            symbol: of.symbol.as_str(),
            side: match side {
                Side::Buy => "buy",
                Side::Sell => "sell",
            },
            order_type: if is_market { "market" } else { "limit" },
            quantity: Decimal(of.qty(qty)),
            price: (!is_market).then(|| Decimal(of.price(price))),
        });
        self.publish(&event, Some(instrument));
    }

    fn order_update(&mut self, event: &OrderEvent, instrument: Option<InstrumentIndex>) {
        let venue_order_id = event.venue_order_id.map(|id| id.to_string());
        let reason = event.reason.map(|reason| reason.to_string());
        let instrument = instrument.or_else(|| self.instruments.find(event.symbol.as_str()));
        let event = StreamEvent::OrderUpdate(OrderUpdate {
            ts_ns: event.ts_ns,
            client_order_id: &event.name(),
            venue_order_id: venue_order_id.as_deref(),
            status: event.status.label(),
            symbol: Some(event.symbol.as_str()),
            side: event.side.map(Side::label),
            qty: Some(Decimal(event.qty)),
            price: event.price.map(Decimal),
            reason: reason.as_deref(),
        });
        self.publish(&event, instrument);
    }

    fn order_state(&mut self, order: &OrderLine) {
        // An order whose admission was lost cannot be told whole.
        let Some(side) = order.side else {
            return;
        };
        let venue_order_id = order.venue_order_id.map(|id| id.to_string());
        let reason = order.reason().map(|reason| reason.to_string());
        let event = StreamEvent::OrderState(OrderState {
            client_order_id: &order.name(),
            symbol: order.symbol.as_str(),
            side: side.label(),
            order_type: order.kind.map(OrderKind::label),
            order_qty: Decimal(order.qty),
            limit_price: order.price.map(Decimal),
            venue_order_id: venue_order_id.as_deref(),
            status: order.status().label(),
            reason: reason.as_deref().unwrap_or_default(),
            executed_qty: Decimal(order.executed),
            avg_price: order.avg_price().map(Decimal),
            last_ts_ns: order.last_ts_ns,
        });
        self.publish(&event, Some(order.instrument));
    }

    fn account(&mut self, ts_ns: i64, view: &TradingView) {
        let lines = view.balances();
        let balances: Vec<Balance<'_>> = lines
            .iter()
            .map(|line| Balance {
                asset: line.asset.as_str(),
                free: Decimal(line.free),
                locked: Decimal(line.locked),
            })
            .collect();
        let event = StreamEvent::Account(Account {
            ts_ns,
            balances: &balances,
        });
        self.publish(&event, None);
    }

    fn refused(&mut self, at: Nanos, instrument: InstrumentIndex, reason: Rejection, side: Side) {
        let alerted = &mut self.alerted[reason.index()];
        if alerted.is_some_and(|alerted| at.since(alerted) < ALERT_EVERY) {
            return;
        }
        *alerted = Some(at);
        let instruments = Arc::clone(&self.instruments);
        let symbol = instruments.get(instrument).symbol;
        let message = format!("risk refused to {} {symbol}", side.label());
        let ts_ns = self.unix_ns(at);
        let symbol = Some((symbol.as_str(), instrument));
        self.alert(ts_ns, reason.label(), symbol, &message);
    }

    fn alert(
        &mut self,
        ts_ns: i64,
        alert: &'static str,
        about: Option<(&str, InstrumentIndex)>,
        message: &str,
    ) {
        let event = StreamEvent::RiskAlert(RiskAlert {
            ts_ns,
            alert,
            symbol: about.map(|(symbol, _)| symbol),
            message,
        });
        self.publish(&event, about.map(|(_, instrument)| instrument));
    }

    fn strategy(&mut self, now: Nanos, looks: &Looks<'_>) {
        let phase = looks.gauges.plain(Gauge::TradingPhase);
        if self.strategy == "none" || phase == TradingPhase::Off.index() as i64 {
            return;
        }
        let runs = looks.gauges.plain(Gauge::StrategyRunning) != 0;
        let ready = phase == TradingPhase::Ready.index() as i64;
        self.stand(now, runs, ready);
        if now >= self.figures_due {
            self.figures_due = now.plus(STRATEGY_EVERY);
            self.figures(now, runs, looks);
        }
    }

    /// Tells how the strategy stands, where that changed.
    fn stand(&mut self, now: Nanos, runs: bool, ready: bool) {
        use StrategyStanding::{Absent, Paused, Running, Stopped};
        let name = StrategyName {
            strategy_id: self.strategy,
        };
        if self.standing == Absent {
            let event = StreamEvent::StrategyLoaded(StrategyLoaded {
                strategy_id: self.strategy,
                name: self.strategy,
                strategy_type: self.strategy,
            });
            self.publish(&event, None);
            self.standing = Stopped;
        }
        let (to, event) = match (self.standing, runs, ready) {
            (Absent | Stopped, false, _) | (Running, true, true) | (Paused, true, false) => return,
            (Absent | Stopped, true, _) => (Running, StreamEvent::StrategyStarted(name)),
            (Running | Paused, false, _) => (Stopped, StreamEvent::StrategyStopped(name)),
            (Running, true, false) => (Paused, StreamEvent::StrategyPaused(name)),
            (Paused, true, true) => (Running, StreamEvent::StrategyResumed(name)),
        };
        if to == Running && self.standing == Stopped {
            self.started_at = Some(now);
        }
        self.standing = to;
        self.publish(&event, None);
    }

    fn figures(&mut self, now: Nanos, is_running: bool, looks: &Looks<'_>) {
        let closings = looks.view.closings();
        let closed = closings.wins + closings.losses;
        let result = looks
            .gauges
            .plain(Gauge::RealizedTotal)
            .saturating_add(looks.gauges.plain(Gauge::UnrealizedTotal));
        let passed = |stage: FunnelStage| {
            let mut rows = looks.counters.funnel();
            rows.find(|(label, reason, _)| *label == stage.label() && reason.is_empty())
                .map_or(0, |(_, _, count)| count)
        };
        let status = StreamEvent::StrategyStatus(StrategyStatus {
            strategy_id: self.strategy,
            name: self.strategy,
            is_running,
            pnl: Decimal(E8(result)),
            trade_count: passed(FunnelStage::Fills),
            win_rate: (closed > 0).then(|| closings.wins as f64 / closed as f64),
        });
        self.publish(&status, None);
        let signals = passed(FunnelStage::Signals);
        let ran_s = self
            .started_at
            .map_or(0.0, |started| now.since(started).0 as f64 / 1e9);
        let decisions = looks.decisions.count();
        let metrics = StreamEvent::StrategyMetrics(StrategyMetrics {
            strategy_id: self.strategy,
            events_processed: passed(FunnelStage::Looks),
            signals_generated: signals,
            avg_execution_time_us: (decisions > 0)
                .then(|| looks.decisions.sum_ns as f64 / decisions as f64 / 1e3),
            signals_per_second: if ran_s > 0.0 {
                signals as f64 / ran_s
            } else {
                0.0
            },
            errors: passed(FunnelStage::Overflowed),
        });
        self.publish(&metrics, None);
    }

    fn publish(&mut self, event: &StreamEvent<'_>, instrument: Option<InstrumentIndex>) {
        self.hub.publish(event, instrument);
        self.published = true;
    }

    fn unix_ns(&self, at: Nanos) -> i64 {
        let unix_ns = i128::from(self.unix_ns_at_zero) + i128::from(at.0);
        i64::try_from(unix_ns).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::market::tests::published;
    use crate::testing::{INSTRUMENTS, instruments, trading_view};
    use crate::trading::Asked;
    use crate::wall::UnixMs;
    use serde_json::{Value, json};
    use veloz_core::instrument::AssetIndex;
    use veloz_core::oms::OmsFault;
    use veloz_core::order::{DoneReason, OrderId, OrderState as State, Origin, TimeInForce};
    use veloz_core::risk::TradingState;
    use veloz_core::strategy::Funnel;
    use veloz_core::telemetry::records::{CommandResult, HaltCause};
    use veloz_core::telemetry::{Sizes, Telemetry, TelemetryReader, telemetry};
    use veloz_core::units::VenueMillis;

    const BTC: InstrumentIndex = InstrumentIndex(0);
    const ORDER: OrderId = OrderId {
        run: 1,
        sequence: 2,
    };

    struct Bench {
        core: Telemetry,
        reader: TelemetryReader,
        view: TradingView,
        events: TradingEvents,
        hub: Hub,
    }

    fn bench() -> Bench {
        let hub = Hub::new(UnixMs(1));
        let (core, reader) = telemetry(INSTRUMENTS, Sizes::default());
        let mut events = TradingEvents::new(hub.clone(), Arc::new(instruments()), "market_maker");
        events.set_wall_clock(1_000);
        let view = trading_view();
        view.set_wall_clock(1_000);
        Bench {
            core,
            reader,
            view,
            events,
            hub,
        }
    }

    impl Bench {
        fn records(&mut self, bodies: &[RecordBody]) {
            for &body in bodies {
                let record = Record {
                    sequence: 0,
                    at: Nanos(5),
                    body,
                };
                let told = self.view.record(&record);
                self.events.record(&record, &told);
            }
        }

        fn step(&mut self, now: Nanos) {
            let looks = Looks {
                view: &self.view,
                gauges: &self.reader.gauges,
                counters: &self.reader.counters,
                decisions: &StageBuckets::EMPTY,
            };
            self.events.step(now, &looks);
        }

        fn types(&self) -> Vec<String> {
            let of = |event: &Value| event["type"].as_str().expect("a type").to_owned();
            published(&self.hub).iter().map(of).collect()
        }
    }

    fn admitted(token: Token) -> RecordBody {
        RecordBody::OrderAdmitted {
            order: ORDER,
            instrument: BTC,
            side: Side::Buy,
            kind: OrderKind::Limit,
            time_in_force: TimeInForce::Gtc,
            origin: Origin::Operator,
            price: Ticks(6_183_763),
            qty: Lots(2),
            token,
        }
    }

    fn state(from: State, to: State, executed: i64) -> RecordBody {
        RecordBody::OrderState {
            order: ORDER,
            instrument: BTC,
            from,
            to,
            venue_order_id: 77,
            executed: Lots(executed),
            qty: Lots(2),
        }
    }

    #[test]
    fn an_order_is_told_from_the_wish_to_the_fill() {
        let mut bench = bench();
        let client_id = ClientId::new("web-1").expect("legal");
        let token = bench.view.commands().issue(Asked {
            command: "place_order",
            client_id: Some(client_id),
            ..Asked::default()
        });
        bench.records(&[
            admitted(token),
            RecordBody::OrderAlias {
                order: ORDER,
                client_id,
            },
            state(State::Admitted, State::Sent, 0),
            RecordBody::Fill {
                order: ORDER,
                instrument: BTC,
                side: Side::Buy,
                is_maker: true,
                fee_asset: AssetIndex(0),
                trade_id: 4,
                price: Ticks(6_183_763),
                qty: Lots(2),
                fee: E8(0),
            },
            state(State::Sent, State::Done(DoneReason::Filled), 2),
        ]);
        let events = published(&bench.hub);
        assert_eq!(
            bench.types(),
            [
                "order_received",
                "order_update",
                "order_state",
                "fill",
                "order_update",
                "order_state"
            ]
        );
        assert_eq!(
            events[0],
            json!({
                "type": "order_received", "command_id": token.0, "client_order_id": "web-1",
                "symbol": "BTCUSDT", "side": "buy", "order_type": "limit", "quantity": 0.00002,
                "price": 61837.63,
            })
        );
        assert_eq!(
            events[3],
            json!({
                "type": "fill", "ts_ns": 1_005, "client_order_id": "web-1", "symbol": "BTCUSDT",
                "qty": 0.00002, "price": 61837.63,
            })
        );
        assert_eq!(
            events[4],
            json!({
                "type": "order_update", "ts_ns": 1_005, "client_order_id": "web-1",
                "venue_order_id": "77", "status": "FILLED", "symbol": "BTCUSDT", "side": "BUY",
                "qty": 0.00002, "price": 61837.63,
            })
        );
        assert_eq!(
            events[5],
            json!({
                "type": "order_state", "client_order_id": "web-1", "symbol": "BTCUSDT",
                "side": "BUY", "order_type": "LIMIT", "order_qty": 0.00002,
                "limit_price": 61837.63, "venue_order_id": "77", "status": "FILLED", "reason": "",
                "executed_qty": 0.00002, "avg_price": 61837.63, "last_ts_ns": 1_005,
            })
        );
    }

    #[test]
    fn a_cancel_that_was_asked_for_names_its_order() {
        let mut bench = bench();
        let token = bench.view.commands().issue(Asked {
            command: CANCEL,
            ..Asked::default()
        });
        let done = |token| RecordBody::CommandDone {
            token,
            result: CommandResult::Done,
            reason: None,
            order: Some(ORDER),
        };
        bench.records(&[done(token), done(Token(99))]);
        assert_eq!(
            published(&bench.hub),
            [json!({"type": "cancel_received", "command_id": token.0, "client_order_id": "1-2"})]
        );
    }

    #[test]
    fn balances_are_shown_together_and_not_too_often() {
        let mut bench = bench();
        let balance = |asset, free| RecordBody::Balance {
            asset: AssetIndex(asset),
            free: E8(free),
            locked: E8(0),
            at: VenueMillis(1),
        };
        bench.records(&[balance(0, 100_000_000), balance(1, 250_000_000)]);
        bench.step(Nanos(10));
        bench.records(&[balance(0, 1)]);
        bench.step(Nanos(20));
        assert_eq!(
            published(&bench.hub),
            [json!({
                "type": "account", "ts_ns": 1_005, "balances": [
                    {"asset": "BTC", "free": 1, "locked": 0},
                    {"asset": "USDT", "free": 2.5, "locked": 0},
                ],
            })]
        );
        bench.step(Nanos(10).plus(SHOW_EVERY));
        assert_eq!(bench.types(), ["account", "account"]);
    }

    #[test]
    fn what_risk_does_is_an_alert_and_not_a_flood() {
        let mut bench = bench();
        let rejected = |reason| RecordBody::OrderRejected {
            instrument: BTC,
            reason,
            side: Side::Sell,
            origin: Origin::Strategy,
            price: Ticks(1),
            qty: Lots(1),
            token: Token(0),
        };
        bench.records(&[
            rejected(Rejection::PriceCollar),
            rejected(Rejection::PriceCollar),
            rejected(Rejection::MaxPosition),
            RecordBody::KillSwitch {
                latched: true,
                cause: HaltCause::Overfill,
            },
            RecordBody::TradingState {
                from: TradingState::Active,
                to: TradingState::Halted,
                cause: HaltCause::Overfill,
            },
            RecordBody::OrderFault {
                order: ORDER,
                instrument: BTC,
                fault: OmsFault::Overfill,
            },
        ]);
        let events = published(&bench.hub);
        let alerts: Vec<_> = events
            .iter()
            .filter(|event| event["type"] == "risk_alert")
            .map(|event| event["alert"].as_str().expect("a kind"))
            .collect();
        assert_eq!(
            alerts,
            [
                "price_collar",
                "max_position",
                "kill_switch",
                "trading_state"
            ]
        );
        let updates = bench.types();
        let updates = updates.iter().filter(|kind| *kind == "order_update");
        assert_eq!(updates.count(), 3, "each refusal is one");
        let last = events.last().expect("told");
        assert_eq!(
            *last,
            json!({
                "type": "error", "ts_ns": 1_005, "message": "binance_ws_error", "cause": "overfill",
            })
        );
    }

    #[test]
    fn the_strategy_is_told_as_it_stands() {
        let mut bench = bench();
        bench.step(Nanos(1));
        assert!(bench.types().is_empty(), "no account yet");
        let mut stand = |phase: TradingPhase, runs| {
            bench
                .core
                .gauges
                .set(Gauge::TradingPhase, phase.index() as i64);
            bench.core.gauges.set(Gauge::StrategyRunning, runs);
            bench.step(Nanos::from_ms(2));
        };
        stand(TradingPhase::Starting, 1);
        stand(TradingPhase::Ready, 1);
        stand(TradingPhase::Reconciling, 1);
        stand(TradingPhase::Ready, 1);
        stand(TradingPhase::Ready, 0);
        stand(TradingPhase::Starting, 0);
        stand(TradingPhase::Ready, 1);
        let told: Vec<_> = bench
            .types()
            .into_iter()
            .filter(|kind| kind != "strategy_status" && kind != "strategy_metrics")
            .collect();
        assert_eq!(
            told,
            [
                "strategy_loaded",
                "strategy_started",
                "strategy_paused",
                "strategy_resumed",
                "strategy_stopped",
                "strategy_started",
            ]
        );
    }

    #[test]
    fn a_strategys_figures_are_the_cores_counts() {
        let mut bench = bench();
        let gauges = &mut bench.core.gauges;
        gauges.set(Gauge::TradingPhase, TradingPhase::Ready.index() as i64);
        gauges.set(Gauge::RealizedTotal, -50_000_000);
        gauges.set(Gauge::UnrealizedTotal, 200_000_000);
        let mut funnel = Funnel::new();
        funnel.count(FunnelStage::Fills);
        funnel.count(FunnelStage::Looks);
        bench.core.counters.funnel(&funnel);
        let position = |realized| RecordBody::Position {
            instrument: BTC,
            qty: E8(0),
            entry: E8(0),
            realized: E8(realized),
        };
        bench.records(&[
            position(0),
            position(5),
            position(3),
            position(4),
            position(5),
        ]);
        bench.step(Nanos(1));
        let events = published(&bench.hub);
        let of = |kind: &str| {
            events
                .iter()
                .find(|event| event["type"] == kind)
                .expect("told")
        };
        assert_eq!(
            *of("strategy_status"),
            json!({
                "type": "strategy_status", "strategy_id": "market_maker", "name": "market_maker",
                "is_running": false, "pnl": 1.5, "trade_count": 1, "win_rate": 0.75,
            })
        );
        assert_eq!(
            *of("strategy_metrics"),
            json!({
                "type": "strategy_metrics", "strategy_id": "market_maker", "events_processed": 1,
                "signals_generated": 0, "avg_execution_time_us": null, "signals_per_second": 0.0,
                "errors": 0,
            })
        );
        let figures = bench.types().len();
        bench.step(Nanos(2));
        assert_eq!(bench.types().len(), figures, "not at every step");
    }
}
