//! Requests at the matching engine: what is done, what is answered, and what goes wrong behind it.
//!
//! Owns: the call of the exchange for each request, the second check of its time, the times at
//! which answer and events leave, faults of the way back. Does not: match. Invariant: the answer
//! and the events of one transaction leave in the configured order when they are due together.

use super::super::exchange::{
    AccountIndex, CancelReplace, Half, Order, Placed, Refusal, ReplaceMode, Replaced,
};
use super::super::faults::Fault;
use super::super::methods::{self, ApiError, Detail};
use super::super::render::TimeUnit;
use super::super::source::{SymbolIndex, VenueMicros};
use super::super::trading::agenda::Arrival;
use super::super::trading::refusals::{self, Asked};
use super::super::trading::requests::Command;
use super::super::trading::words::ResponseType;
use super::super::trading::{AnswerOrder, answers};
use super::Hub;
use super::replies::{Answer, Reply};
use super::trade::{Job, Query, Work};

impl Hub {
    /// A request is at the matching engine.
    pub(super) fn execute(&mut self, due: VenueMicros, job: Job) {
        let at = self.trading.no_earlier(due);
        let unit = job.caller.unit;
        let result = match &job.work {
            Work::Query(query) => self.look_up(at, job.account, query, unit),
            Work::Command(command) => self.carry_out(at, &job, command),
            Work::CancelOnly { request, refusal } => self.cancel_only(at, &job, request, refusal),
        };
        let ip = job.caller.ip;
        if result.is_ok() && job.method.is_free_on_success() {
            self.limits.refund(job.arrived, at, ip, job.weight);
        }
        let order_counts = job
            .method
            .counts_orders()
            .then(|| self.trading.orders_of(job.account).counts(at));
        let events = self.trading.take_events();
        let latency = self.config.latency;
        let mut reply_due = VenueMicros(at.0 + latency.engine_to_response_us);
        let mut events_due = VenueMicros(at.0 + latency.engine_to_event_us);
        let mut events_first = match self.config.answer_order {
            AnswerOrder::ResponseFirst => false,
            AnswerOrder::EventFirst => true,
            AnswerOrder::Random => self.trading.draw_event_first(),
        };
        if job.faults.contains(&Fault::EventFirst) {
            events_first = true;
            reply_due = reply_due.max(events_due);
        } else if job.faults.contains(&Fault::ResponseFirst) {
            events_first = false;
            events_due = events_due.max(reply_due);
        }
        let answer = Answer {
            result,
            order_counts,
        };
        let reply = if job.faults.contains(&Fault::ResponseLost) {
            self.lose(job.caller.to);
            None
        } else if job.faults.contains(&Fault::DropAfterAccept) {
            Some((reply_due, Reply::Break(job.caller.to)))
        } else if job.faults.contains(&Fault::TimeoutAccepted) {
            let due = VenueMicros(job.arrived.0 + self.config.backend_timeout_ms * 1_000);
            let due = due.max(at);
            let timeout = Err(ApiError::timeout()).into();
            Some((due, self.compose(at, job.caller, timeout)))
        } else {
            Some((reply_due, self.compose(at, job.caller, answer)))
        };
        if events_first {
            self.schedule_events(events_due, events);
            if let Some((due, reply)) = reply {
                self.agenda.add(due, Arrival::Reply(reply));
            }
        } else {
            if let Some((due, reply)) = reply {
                self.agenda.add(due, Arrival::Reply(reply));
            }
            self.schedule_events(events_due, events);
        }
    }

    fn carry_out(
        &mut self,
        at: VenueMicros,
        job: &Job,
        command: &Command,
    ) -> Result<String, ApiError> {
        job.timing.in_front_of_the_engine(at)?;
        let (account, unit) = (job.account, job.caller.unit);
        let exchange = &mut self.trading.exchange;
        let name = |symbol: SymbolIndex| self.specs[symbol.0].symbol.as_str();
        match command {
            Command::Place { order, answer } => {
                match exchange.place(at, account, order.clone(), &self.market) {
                    Ok(placed) => Ok(answers::placed(name(order.symbol), &placed, *answer, unit)),
                    Err(refusal) => Err(self.refuse_order(at, job, refusal)),
                }
            }
            Command::Cancel {
                symbol,
                which,
                cancel_id,
                restriction,
            } => exchange
                .cancel(at, account, *symbol, which, cancel_id, *restriction)
                .map(|order| answers::cancelled(name(*symbol), &order, cancel_id, unit))
                .map_err(|refusal| refusals::error(refusal, Asked::Cancel)),
            Command::CancelAll { symbol, cancel_id } => exchange
                .cancel_all(at, account, *symbol, cancel_id)
                .map(|orders| {
                    let cancelled =
                        |order: &Order| answers::cancelled(name(*symbol), order, cancel_id, unit);
                    let reports: Vec<_> = orders.iter().map(cancelled).collect();
                    format!("[{}]", reports.join(","))
                })
                .map_err(|refusal| refusals::error(refusal, Asked::Cancel)),
            Command::CancelReplace {
                request, answer, ..
            } => match exchange.cancel_replace(at, account, request.clone(), &self.market) {
                Ok(replaced) => self.replaced(request, &replaced, *answer, unit),
                Err(refusal) => Err(self.refuse_order(at, job, refusal)),
            },
            Command::Amend {
                symbol,
                which,
                new_qty,
                new_client_id,
            } => exchange
                .amend(at, account, *symbol, which, *new_qty, new_client_id.clone())
                .map(|amended| {
                    if !amended.order.status.is_open() {
                        // An amendment that ends its order costs nothing.
                        let ip = job.caller.ip;
                        self.limits.refund(job.arrived, at, ip, job.weight);
                    }
                    answers::amended(name(*symbol), &amended, unit)
                })
                .map_err(
                    |refusal| match (refusal, exchange.order(account, *symbol, which)) {
                        (Refusal::AmendNotReducing, _) if new_qty.0 == 0 => {
                            refusals::error(Refusal::FilterFailure("LOT_SIZE"), Asked::Amend)
                        }
                        (Refusal::AmendNotReducing, Ok(order)) if order.orig_qty == *new_qty => {
                            refusals::no_change()
                        }
                        (refusal, _) => refusals::error(refusal, Asked::Amend),
                    },
                ),
        }
    }

    /// A new order's refusal; one that the matching engine has not seen does not count.
    fn refuse_order(&mut self, at: VenueMicros, job: &Job, refusal: Refusal) -> ApiError {
        if !refusals::reached_the_engine(refusal) {
            self.take_back(at, job);
        }
        refusals::error(refusal, Asked::NewOrder)
    }

    fn replaced(
        &self,
        request: &CancelReplace,
        replaced: &Replaced,
        answer: ResponseType,
        unit: TimeUnit,
    ) -> Result<String, ApiError> {
        let name = self.specs[request.new.symbol.0].symbol.as_str();
        let cancelled = |order: &Order| answers::cancelled(name, order, &request.cancel_id, unit);
        let placed = |placed: &Placed| answers::placed(name, placed, answer, unit);
        let cancel = half(&replaced.cancel, Asked::Cancel, cancelled);
        let new = half(&replaced.new, Asked::NewOrder, placed);
        replace_answer(&cancel, &new, None)
    }

    /// The cancel half alone: the account may place no more orders for now.
    fn cancel_only(
        &mut self,
        at: VenueMicros,
        job: &Job,
        request: &CancelReplace,
        refusal: &ApiError,
    ) -> Result<String, ApiError> {
        job.timing.in_front_of_the_engine(at)?;
        let symbol = request.new.symbol;
        let name = self.specs[symbol.0].symbol.as_str();
        let cancelled = self.trading.exchange.cancel(
            at,
            job.account,
            symbol,
            &request.cancel,
            &request.cancel_id,
            request.restriction,
        );
        let cancel = match cancelled {
            Ok(order) => HalfText::Success(answers::cancelled(
                name,
                &order,
                &request.cancel_id,
                job.caller.unit,
            )),
            Err(refusal) => HalfText::Failure(refusals::error(refusal, Asked::Cancel).bare_json()),
        };
        // The table of the documents; a sentence there says 409 for both.
        let (status, new) = match (request.mode, &cancel) {
            (ReplaceMode::StopOnFailure, HalfText::Success(_)) => {
                (Some(429), HalfText::Failure(refusal.bare_json()))
            }
            (ReplaceMode::StopOnFailure, HalfText::Failure(_) | HalfText::NotAttempted) => {
                (Some(429), HalfText::NotAttempted)
            }
            (ReplaceMode::AllowFailure, _) => (None, HalfText::Failure(refusal.bare_json())),
        };
        replace_answer(&cancel, &new, status)
    }

    fn look_up(
        &mut self,
        at: VenueMicros,
        account: AccountIndex,
        query: &Query,
        unit: TimeUnit,
    ) -> Result<String, ApiError> {
        let name = |symbol: SymbolIndex| self.specs[symbol.0].symbol.as_str();
        let discount = self.config.exchange.bnb_discount;
        match query {
            Query::Test {
                command,
                commission,
            } => {
                if let Command::Place { order, .. } = command {
                    let tested = self.trading.exchange.test(account, order, &self.market);
                    tested.map_err(|refusal| refusals::error(refusal, Asked::NewOrder))?;
                }
                let config = self.trading.exchange.account_config(account);
                Ok(if *commission {
                    answers::test_commission(config, discount)
                } else {
                    "{}".to_owned()
                })
            }
            Query::Order { symbol, which } => self
                .trading
                .exchange
                .order(account, *symbol, which)
                .map(|order| answers::status(name(*symbol), order, unit))
                .map_err(|refusal| refusals::error(refusal, Asked::Query)),
            Query::OpenOrders { symbol } => {
                let orders = self.trading.exchange.open_orders(account, *symbol);
                let rows: Vec<_> = orders
                    .map(|order| answers::status(name(order.symbol), order, unit))
                    .collect();
                Ok(format!("[{}]", rows.join(",")))
            }
            Query::Account { omit_zero_balances } => {
                let exchange = &self.trading.exchange;
                let balances = exchange.balances(account).filter(|balance| {
                    !omit_zero_balances || balance.free.0 != 0 || balance.locked.0 != 0
                });
                Ok(answers::account(
                    account.0,
                    exchange.account_config(account),
                    self.trading.updated(account),
                    balances,
                    unit,
                ))
            }
            Query::OrderCounts => {
                let counts = self.trading.orders_of(account).counts(at);
                let limits = self.trading.limits;
                Ok(format!("[{}]", answers::order_counts(limits, counts)))
            }
            Query::Trades { symbol, filter } => {
                let trades = self.trading.exchange.trades(account, *symbol, filter);
                let rows: Vec<_> = trades
                    .map(|trade| answers::trade(name(*symbol), trade, unit))
                    .collect();
                Ok(format!("[{}]", rows.join(",")))
            }
            Query::Commission { symbol } => Ok(answers::commission(
                name(*symbol),
                self.trading.exchange.account_config(account),
                discount,
            )),
            Query::Filters { symbol } => Ok(format!(
                r#"{{"exchangeFilters":[],"symbolFilters":{},"assetFilters":[]}}"#,
                methods::symbol_filters(self.trading.exchange.rules(*symbol))
            )),
        }
    }
}

/// One half of a cancel-replace as it is printed.
enum HalfText {
    Success(String),
    Failure(String),
    NotAttempted,
}

impl HalfText {
    fn word(&self) -> &'static str {
        match self {
            Self::Success(_) => "SUCCESS",
            Self::Failure(_) => "FAILURE",
            Self::NotAttempted => "NOT_ATTEMPTED",
        }
    }

    fn json(&self) -> &str {
        match self {
            Self::Success(text) | Self::Failure(text) => text,
            Self::NotAttempted => "null",
        }
    }
}

fn half<T>(half: &Half<T>, asked: Asked, text: impl Fn(&T) -> String) -> HalfText {
    match half {
        Half::Done(done) => HalfText::Success(text(done)),
        Half::Failed(refusal) => HalfText::Failure(refusals::error(*refusal, asked).bare_json()),
        Half::NotAttempted => HalfText::NotAttempted,
    }
}

/// The answer to a cancel-replace, by what became of its halves; `status` when it is not theirs.
fn replace_answer(
    cancel: &HalfText,
    new: &HalfText,
    status: Option<u16>,
) -> Result<String, ApiError> {
    let data = format!(
        concat!(
            r#"{{"cancelResult":"{}","newOrderResult":"{}","cancelResponse":{},"#,
            r#""newOrderResponse":{}}}"#
        ),
        cancel.word(),
        new.word(),
        cancel.json(),
        new.json()
    );
    let (own_status, code, msg) = match (cancel, new) {
        (HalfText::Success(_), HalfText::Success(_)) => return Ok(data),
        (HalfText::Success(_), _) | (_, HalfText::Success(_)) => {
            (409, -2021, "Order cancel-replace partially failed.")
        }
        (_, _) => (400, -2022, "Order cancel-replace failed."),
    };
    Err(ApiError {
        detail: Detail::Data(data),
        ..ApiError::new(status.unwrap_or(own_status), code, msg)
    })
}
