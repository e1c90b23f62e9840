//! User data events, as Binance Spot sends them.
//!
//! Owns: the text of each event, key by key, and the envelope. Does not: decide who gets one.
//! Source: Binance Spot `user-data-stream.md`.

use std::fmt::Write as _;

use veloz_core::units::E8;

use super::super::exchange::{AccountIndex, Balance, Event, Execution, Fill, Prevented, Report};
use super::super::render::{TimeUnit, json_string};
use super::super::source::VenueMicros;
use super::refusals;
use super::words::Word as _;

/// Something that an account's subscribers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserEvent {
    /// What the exchange did.
    Exchange(Event),
    /// A deposit, a withdrawal or a transfer.
    Deposit {
        account: AccountIndex,
        at: VenueMicros,
        asset: String,
        delta: E8,
    },
    /// Something outside locked a part of a balance.
    ExternalLock {
        account: AccountIndex,
        at: VenueMicros,
        asset: String,
        delta: E8,
    },
}

impl UserEvent {
    pub(crate) fn account(&self) -> AccountIndex {
        match self {
            Self::Exchange(Event::Report(report)) => report.account,
            Self::Exchange(Event::Balances { account, .. })
            | Self::Deposit { account, .. }
            | Self::ExternalLock { account, .. } => *account,
        }
    }

    /// The event's text; `now` is when it leaves. `symbol` names a report's symbol.
    pub(crate) fn json(&self, now: VenueMicros, symbol: &str, unit: TimeUnit) -> String {
        match self {
            Self::Exchange(Event::Report(report)) => execution_report(now, report, symbol, unit),
            Self::Exchange(Event::Balances { at, assets, .. }) => {
                account_position(now, *at, assets, unit)
            }
            Self::Deposit {
                at, asset, delta, ..
            } => one_asset("balanceUpdate", now, asset, *delta, *at, unit),
            Self::ExternalLock {
                at, asset, delta, ..
            } => one_asset("externalLockUpdate", now, asset, *delta, *at, unit),
        }
    }
}

/// `eventStreamTerminated`.
pub(crate) fn stream_terminated(now: VenueMicros, unit: TimeUnit) -> String {
    format!(r#"{{"e":"eventStreamTerminated","E":{}}}"#, unit.of(now))
}

/// The envelope of an event.
pub(crate) fn enveloped(subscription_id: u32, event: &str) -> String {
    format!(r#"{{"subscriptionId":{subscription_id},"event":{event}}}"#)
}

fn execution_report(now: VenueMicros, report: &Report, symbol: &str, unit: TimeUnit) -> String {
    const NOTHING: E8 = E8(0);
    let order = &report.order;
    let (id, original) = match (&report.cancel_id, &report.previous_client_id) {
        (Some(cancel), _) => (cancel.as_str(), order.client_order_id.as_str()),
        (None, Some(previous)) => (order.client_order_id.as_str(), previous.as_str()),
        (None, None) => (order.client_order_id.as_str(), ""),
    };
    let fill = report.fill.as_ref();
    let last = |of: fn(&Fill) -> E8| fill.map_or(NOTHING, of);
    let (commission, commission_asset, trade_id) = match fill {
        Some(fill) => (
            fill.commission.to_string(),
            json_string(&fill.commission_asset),
            fill.trade_id.to_string(),
        ),
        None => ("0".to_owned(), "null".to_owned(), "-1".to_owned()),
    };
    let mut out = format!(
        concat!(
            r#"{{"e":"executionReport","E":{},"s":{},"c":{},"S":"{}","o":"{}","f":"{}","#,
            r#""q":"{}","p":"{}","P":"0.00000000","F":"0.00000000","g":-1,"C":{},"x":"{}","#,
            r#""X":"{}","r":"{}","i":{},"l":"{}","z":"{}","L":"{}","n":"{}","N":{},"T":{},"#,
            r#""t":{}"#
        ),
        unit.of(now),
        json_string(symbol),
        json_string(id),
        order.side.word(),
        order.kind.word(),
        order.time_in_force.word(),
        order.orig_qty,
        order.price,
        json_string(original),
        report.execution.word(),
        order.status.word(),
        refusals::reject_reason(report.reject),
        order.id,
        last(|fill| fill.qty),
        order.executed_qty,
        last(|fill| fill.price),
        commission,
        commission_asset,
        unit.of(report.at),
        trade_id,
    );
    if let Some(prevented) = &report.prevented {
        let _ = write!(out, r#","v":{}"#, prevented.match_id);
    }
    let _ = write!(
        out,
        concat!(
            r#","I":{},"w":{},"m":{},"M":{},"O":{},"Z":"{}","Y":"{}","Q":"{}","W":{},"#,
            r#""V":"{}""#
        ),
        report.execution_id,
        report.on_book,
        fill.is_some_and(|fill| fill.maker),
        report.execution == Execution::Trade,
        unit.of(order.created),
        order.cumulative_quote,
        last(|fill| fill.quote_qty),
        order.quote_order_qty,
        unit.of(order.created),
        order.stp.word(),
    );
    if let Some(prevented) = &report.prevented {
        prevention(&mut out, prevented, order.prevented_qty, symbol);
    }
    if let Some(strategy) = order.strategy {
        let _ = write!(out, r#","j":{}"#, strategy.id);
        if let Some(kind) = strategy.kind {
            let _ = write!(out, r#","J":{kind}"#);
        }
    }
    if let Some(reason) = report.expiry {
        let _ = write!(out, r#","eR":"{}""#, reason.word());
    }
    out.push('}');
    out
}

/// What only a prevented trade shows; accounts of this venue are in no trade group.
fn prevention(out: &mut String, prevented: &Prevented, in_all: E8, symbol: &str) {
    let _ = write!(
        out,
        concat!(
            r#","u":-1,"A":"{}","B":"{}","U":{},"Cs":{},"pl":"{}","pL":"{}","#,
            r#""pY":"{}""#
        ),
        in_all,
        prevented.qty,
        prevented.counter_order_id,
        json_string(symbol),
        prevented.match_qty,
        prevented.price,
        prevented.match_quote,
    );
}

fn account_position(
    now: VenueMicros,
    at: VenueMicros,
    assets: &[Balance],
    unit: TimeUnit,
) -> String {
    let mut out = format!(
        r#"{{"e":"outboundAccountPosition","E":{},"u":{},"B":["#,
        unit.of(now),
        unit.of(at)
    );
    for (position, balance) in assets.iter().enumerate() {
        let _ = write!(
            out,
            r#"{}{{"a":{},"f":"{}","l":"{}"}}"#,
            if position > 0 { "," } else { "" },
            json_string(&balance.asset),
            balance.free,
            balance.locked
        );
    }
    out.push_str("]}");
    out
}

fn one_asset(
    name: &str,
    now: VenueMicros,
    asset: &str,
    delta: E8,
    at: VenueMicros,
    unit: TimeUnit,
) -> String {
    format!(
        r#"{{"e":"{name}","E":{},"a":{},"d":"{delta}","T":{}}}"#,
        unit.of(now),
        json_string(asset),
        unit.of(at)
    )
}
