//! Signed requests: who may ask, when, and how often.
//!
//! Owns: the order of checks and the way to the matching engine, with the faults on it. Does not:
//! read parameters or carry out; [`requests`] and [`engine`](super::engine) do. Invariant: a request that was counted among the account's orders is either matched or
//! refused there, or taken back.

use super::super::exchange::{AccountIndex, CancelReplace, OrderRef, TradeFilter};
use super::super::faults::{Applies, Fault};
use super::super::methods::{ApiError, Method, Params, Signed};
use super::super::source::{SymbolIndex, VenueMicros};
use super::super::trading::agenda::Arrival;
use super::super::trading::requests::{self, Command, DrawIds as _};
use super::super::trading::session::KeyIndex;
use super::super::trading::signing::{self, Timing};
use super::super::trading::words::LimitExceeded;
use super::Hub;
use super::replies::{Answer, Caller};

/// What a caller shows of itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof<'a> {
    /// The frame, with key and signature among its parameters.
    Frame(&'a str),
    /// The bytes that a signature signs, and the key's header.
    Http {
        payload: &'a str,
        api_key: Option<&'a str>,
    },
}

/// Who a signed request is for, and how long it is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) key: KeyIndex,
    pub(super) account: AccountIndex,
    pub(super) timing: Timing,
}

/// A request on its way to the matching engine.
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) caller: Caller,
    pub(super) method: Signed,
    pub(super) account: AccountIndex,
    pub(super) timing: Timing,
    pub(super) arrived: VenueMicros,
    pub(super) weight: u32,
    pub(super) work: Work,
    pub(super) faults: Vec<Fault>,
}

#[derive(Debug)]
pub(super) enum Work {
    Command(Command),
    /// A cancel-replace of an account that may place no more orders for now.
    CancelOnly {
        request: CancelReplace,
        refusal: ApiError,
    },
    Query(Query),
}

/// What is only looked at.
#[derive(Clone, Debug)]
pub(super) enum Query {
    Test {
        command: Command,
        commission: bool,
    },
    Order {
        symbol: SymbolIndex,
        which: OrderRef,
    },
    OpenOrders {
        symbol: Option<SymbolIndex>,
    },
    Account {
        omit_zero_balances: bool,
    },
    OrderCounts,
    Trades {
        symbol: SymbolIndex,
        filter: TradeFilter,
    },
    Commission {
        symbol: SymbolIndex,
    },
    Filters {
        symbol: SymbolIndex,
    },
}

impl Hub {
    /// Takes a signed request.
    pub(super) fn signed_call(
        &mut self,
        now: VenueMicros,
        caller: Caller,
        method: Signed,
        params: &Params,
        proof: &Proof<'_>,
        known: Result<(), ApiError>,
    ) {
        let grant = match self.authorize(now, &caller, params, proof) {
            Ok(grant) => grant,
            Err(error) => return self.answer(now, caller, Err(error)),
        };
        let work = match known.and_then(|()| self.read(method, params)) {
            Ok(work) => work,
            Err(error) => return self.answer_counting(now, caller, method, grant.account, error),
        };
        self.accept(now, caller, method, params, grant, work);
    }

    /// Key, time and signature, in this order.
    pub(super) fn authorize(
        &self,
        now: VenueMicros,
        caller: &Caller,
        params: &Params,
        proof: &Proof<'_>,
    ) -> Result<Grant, ApiError> {
        let (key, is_signed) = match proof {
            Proof::Http { api_key, .. } => {
                let api_key = api_key.ok_or_else(ApiError::ill_formed_key)?;
                (self.trading.find_key(api_key)?, true)
            }
            Proof::Frame(_) if params.has("apiKey") => {
                let api_key = params.mandatory_text("apiKey")?;
                (self.trading.find_key(&api_key)?, true)
            }
            Proof::Frame(_) => match self.logon_of(caller) {
                Some(key) => (key, params.has("signature")),
                None => return Err(ApiError::mandatory("apiKey")),
            },
        };
        let timing = Timing::read(params)?;
        timing.on_arrival(now)?;
        if is_signed {
            let signature = params.mandatory_text("signature")?;
            let payload = match proof {
                Proof::Frame(frame) => signing::websocket_payload(frame).unwrap_or_default(),
                Proof::Http { payload, .. } => (*payload).to_owned(),
            };
            if !self
                .trading
                .key(key)
                .verifies(payload.as_bytes(), &signature)
            {
                return Err(ApiError::bad_signature());
            }
        }
        Ok(Grant {
            key,
            account: self.trading.account_of(key),
            timing,
        })
    }

    fn logon_of(&self, caller: &Caller) -> Option<KeyIndex> {
        let connection = self.connections.get(&caller.connection()?)?;
        Some(connection.session.logon?.key)
    }

    /// Reads a request's parameters.
    fn read(&mut self, method: Signed, params: &Params) -> Result<Work, ApiError> {
        let symbol = || self.symbol(&params.symbol("symbol")?);
        Ok(match method {
            Signed::Place | Signed::Test => {
                let symbol = symbol()?;
                let (order, answer) = requests::new_order(params, symbol, &mut self.trading)?;
                let command = Command::Place { order, answer };
                if method == Signed::Place {
                    return Ok(Work::Command(command));
                }
                let commission = params.flag("computeCommissionRates")?.unwrap_or(false);
                Work::Query(Query::Test {
                    command,
                    commission,
                })
            }
            Signed::Cancel => {
                let symbol = symbol()?;
                Work::Command(requests::cancel(params, symbol, &mut self.trading)?)
            }
            Signed::CancelAll => Work::Command(Command::CancelAll {
                symbol: symbol()?,
                cancel_id: self.trading.draw(),
            }),
            Signed::CancelReplace => {
                let symbol = symbol()?;
                Work::Command(requests::cancel_replace(params, symbol, &mut self.trading)?)
            }
            Signed::Amend => {
                let symbol = symbol()?;
                Work::Command(requests::amend(params, symbol, &mut self.trading)?)
            }
            Signed::OrderStatus => Work::Query(Query::Order {
                symbol: symbol()?,
                which: requests::queried(params)?,
            }),
            Signed::OpenOrders => Work::Query(Query::OpenOrders {
                symbol: if params.has("symbol") {
                    Some(symbol()?)
                } else {
                    None
                },
            }),
            Signed::Account => Work::Query(Query::Account {
                omit_zero_balances: params.flag("omitZeroBalances")?.unwrap_or(false),
            }),
            Signed::OrderCounts => Work::Query(Query::OrderCounts),
            Signed::MyTrades => Work::Query(Query::Trades {
                symbol: symbol()?,
                filter: requests::trade_filter(params)?,
            }),
            Signed::Commission => Work::Query(Query::Commission { symbol: symbol()? }),
            Signed::MyFilters => Work::Query(Query::Filters { symbol: symbol()? }),
        })
    }

    /// Counts a sound request, lets faults have their say, and sends it to the matching engine.
    fn accept(
        &mut self,
        now: VenueMicros,
        caller: Caller,
        method: Signed,
        params: &Params,
        grant: Grant,
        work: Work,
    ) {
        if !self.agenda.has_room() {
            return self.answer(now, caller, Err(ApiError::overloaded()));
        }
        let work = match self.count_order(now, &caller, method, grant.account, work) {
            Ok(work) => work,
            Err(error) => return self.answer_counting(now, caller, method, grant.account, error),
        };
        let (mut faults, mut unasked) = (Vec::new(), Vec::new());
        let mut due = VenueMicros(now.0 + self.config.latency.request_to_engine_us);
        if let Work::Command(command) = &work {
            self.faults.next(Applies::Trading, &mut faults);
            self.faults.next(Applies::Exchange, &mut unasked);
            if command.is_cancel() {
                let mut delays = Vec::new();
                self.faults.next(Applies::Cancel, &mut delays);
                for fault in delays {
                    if let Fault::CancelDelayed { ms } = fault {
                        due.0 += u64::from(ms) * 1_000;
                    }
                }
            }
        }
        let job = Job {
            weight: Method::Signed(method).weight(params),
            arrived: now,
            timing: grant.timing,
            account: grant.account,
            method,
            caller,
            work,
            faults,
        };
        self.dispatch(now, due, job);
        for fault in unasked {
            self.unasked(now, fault);
        }
        self.settle(now);
    }

    /// What becomes of a request at the venue's door.
    fn dispatch(&mut self, now: VenueMicros, due: VenueMicros, job: Job) {
        let timeout = VenueMicros(job.arrived.0 + self.config.backend_timeout_ms * 1_000);
        if job.faults.contains(&Fault::Ban) {
            let until = self.limits.ban(now, job.caller.ip);
            self.stats.refused += 1;
            self.take_back(now, &job);
            self.answer(now, job.caller, Err(ApiError::banned(until)));
        } else if job.faults.contains(&Fault::Unavailable) {
            self.take_back(now, &job);
            self.answer(now, job.caller, Err(ApiError::overloaded()));
        } else if job.faults.contains(&Fault::TimeoutRefused) {
            self.take_back(now, &job);
            let reply = self.compose(now, job.caller, Err(ApiError::timeout()).into());
            self.agenda.add(timeout, Arrival::Reply(reply));
        } else {
            self.agenda.add(due, Arrival::Request(Box::new(job)));
        }
    }

    /// An order that was counted and does not reach the matching engine.
    pub(super) fn take_back(&mut self, now: VenueMicros, job: &Job) {
        if job.method.counts_orders() && matches!(job.work, Work::Command(_)) {
            self.trading.orders_of(job.account).remove(job.arrived, now);
        }
    }

    /// Counts a new order, or says why none may be placed now.
    fn count_order(
        &mut self,
        now: VenueMicros,
        caller: &Caller,
        method: Signed,
        account: AccountIndex,
        work: Work,
    ) -> Result<Work, ApiError> {
        if !method.counts_orders() {
            return Ok(work);
        }
        let limits = self.trading.limits;
        let orders = self.trading.orders_of(account);
        let exceeded = match orders.check(now, limits) {
            Ok(()) => {
                orders.add(now);
                return Ok(work);
            }
            Err(exceeded) => exceeded,
        };
        let refusal =
            ApiError::too_many_orders(exceeded.limit, exceeded.interval, exceeded.retry_at);
        match work {
            Work::Command(Command::CancelReplace {
                request,
                exceeded: LimitExceeded::CancelOnly,
                ..
            }) => Ok(Work::CancelOnly { request, refusal }),
            Work::Command(_) | Work::CancelOnly { .. } | Work::Query(_) => {
                self.stats.refused += 1;
                Err(match self.limits.refuse(now, caller.ip) {
                    Some(until) => ApiError::banned(until),
                    None => refusal,
                })
            }
        }
    }

    fn answer_counting(
        &mut self,
        now: VenueMicros,
        caller: Caller,
        method: Signed,
        account: AccountIndex,
        error: ApiError,
    ) {
        let order_counts = method
            .counts_orders()
            .then(|| self.trading.orders_of(account).counts(now));
        let answer = Answer {
            result: Err(error),
            order_counts,
        };
        self.answer(now, caller, answer);
    }
}
