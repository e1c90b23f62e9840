//! What an operator asks for.
//!
//! Invariant: every command is answered by one record that carries its token, and a command that changes nothing
//! says why.

use crate::event::{Command, OrderRef, Token};
use crate::order::{OrderId, Origin};
use crate::risk::Rejection;
use crate::strategy::Strategy;
use crate::telemetry::records::{CommandResult, HaltCause, RecordBody, TradingPhase};

use super::orders::Refused;
use super::{Desk, Stopwatch};

/// What a command came to.
type Outcome = Result<Option<OrderId>, Refusal>;

/// Why a command changed nothing.
struct Refusal {
    result: CommandResult,
    reason: Option<Rejection>,
}

impl From<CommandResult> for Refusal {
    fn from(result: CommandResult) -> Self {
        Self {
            result,
            reason: None,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Risk(reason) => Self {
                result: CommandResult::Rejected,
                reason: Some(reason),
            },
            Refused::TableFull => CommandResult::Full.into(),
            Refused::UnknownOrder => CommandResult::UnknownOrder.into(),
            Refused::NotOpen => CommandResult::NotOpen.into(),
            Refused::NotSmaller => CommandResult::InvalidValue.into(),
            Refused::NoLink => CommandResult::NotTrading.into(),
        }
    }
}

impl<T: Strategy, S: Stopwatch> Desk<'_, T, S> {
    /// Carries a command out and answers it.
    pub(in crate::engine) fn command(&mut self, command: &Command) {
        let (token, outcome) = match *command {
            // Both are answered before an account is looked for.
            Command::Shutdown | Command::ShowBook { .. } => return,
            Command::Stop => {
                self.stop();
                return;
            }
            Command::WeightSpent { weight } => {
                self.budget.spend_unasked(self.now, weight);
                return;
            }
            Command::Place {
                token,
                client_id,
                intent,
            } => {
                let decided = self.watch.stamp();
                let placed = self.submit(&intent, client_id, token, decided);
                (token, placed.map(Some).map_err(Refusal::from))
            }
            Command::Cancel { token, order } => (token, self.cancel_command(order)),
            Command::Replace {
                token,
                order,
                client_id,
                price,
                qty,
            } => {
                let decided = self.watch.stamp();
                let replaced = self.find(order).and_then(|id| {
                    self.replace(id, price, qty, Origin::Operator, client_id, token, decided)
                        .map_err(Refusal::from)
                });
                (token, replaced.map(Some))
            }
            Command::Amend { token, order, qty } => {
                let amended = self.find(order).and_then(|id| {
                    self.amend(id, qty)
                        .map(|()| Some(id))
                        .map_err(Refusal::from)
                });
                (token, amended)
            }
            Command::CancelAll { token, instrument } => {
                self.cancel_all(instrument);
                (token, Ok(None))
            }
            Command::SetTradingState { token, state } => {
                let from = self.trading.risk.state();
                let set = self
                    .trading
                    .risk
                    .set_state(state)
                    .map_err(|_| Refusal {
                        result: CommandResult::Rejected,
                        reason: Some(Rejection::KillSwitch),
                    })
                    .map(|()| None);
                self.tell_trading_state(from, HaltCause::Operator);
                (token, set)
            }
            Command::TripKillSwitch { token } => {
                self.kill(HaltCause::Operator);
                (token, Ok(None))
            }
            Command::ResetKillSwitch { token } => {
                if self.trading.risk.is_killed() {
                    self.trading.risk.reset_kill_switch();
                    self.telemetry.records.push(
                        self.now,
                        RecordBody::KillSwitch {
                            latched: false,
                            cause: HaltCause::Operator,
                        },
                    );
                }
                (token, Ok(None))
            }
            Command::SetLimits { token, change } => {
                let set = self.trading.risk.set_limits(change);
                if set.is_ok() {
                    let instrument = match change {
                        crate::risk::LimitsChange::Global(_) => None,
                        crate::risk::LimitsChange::Instrument(index, _) => Some(index),
                    };
                    self.telemetry
                        .records
                        .push(self.now, RecordBody::Limits { instrument });
                }
                let outcome = set
                    .map(|()| None)
                    .map_err(|_| Refusal::from(CommandResult::InvalidValue));
                (token, outcome)
            }
            Command::RunStrategy { token, running } => {
                self.trading.running = running;
                (token, Ok(None))
            }
            Command::DeadManFired { token } => {
                self.kill(HaltCause::DeadMan);
                // What the dead-man cancelled is known when the venue was asked.
                self.trading.reconcile.begin();
                (token, Ok(None))
            }
        };
        self.answer(token, &outcome);
        self.publish_account();
        self.wake();
    }

    fn answer(&mut self, token: Token, outcome: &Outcome) {
        let (result, reason, order) = match outcome {
            Ok(order) => (CommandResult::Done, None, *order),
            Err(refusal) => (refusal.result, refusal.reason, None),
        };
        self.telemetry.records.push(
            self.now,
            RecordBody::CommandDone {
                token,
                result,
                reason,
                order,
            },
        );
    }

    fn cancel_command(&mut self, order: OrderRef) -> Outcome {
        let id = self.find(order)?;
        self.cancel(id)?;
        Ok(Some(id))
    }

    fn find(&self, order: OrderRef) -> Result<OrderId, Refusal> {
        let found = match order {
            OrderRef::Id(id) => self.trading.oms.order(id).map(|_| id),
            OrderRef::Client(client_id) => self.trading.oms.find_client(&client_id),
        };
        found.ok_or_else(|| CommandResult::UnknownOrder.into())
    }

    /// Trades no more, and takes every order of ours back.
    fn stop(&mut self) {
        match self.trading.phase {
            TradingPhase::Stopping | TradingPhase::Stopped => {}
            TradingPhase::Off
            | TradingPhase::Starting
            | TradingPhase::Reconciling
            | TradingPhase::Ready => {
                self.set_phase(TradingPhase::Stopping);
                self.cancel_all(None);
            }
        }
    }
}
