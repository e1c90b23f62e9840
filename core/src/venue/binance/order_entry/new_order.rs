//! The parameters of a new order, for `order.place` and `order.cancelReplace`.
//!
//! Owns: [`NewOrder`] and the texts that are rendered once, [`NewOrderTexts`]: for each side, form and mode
//! of self-trade prevention all that stands between the symbol and the first number. Does not: close or sign
//! the request. Invariant: both forms, JSON and payload, have the same parameters with the same values.

use super::message::{Block, Writer};
use super::{ClientOrderIds, Row};
use crate::order::{Intent, OrderId, OrderKind, SelfTradePrevention, Side, TimeInForce};
use crate::units::{E8, VenueMillis};
use crate::wire::digits::Digits;

/// Kind and time in force together: what decides which parameters there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Gtc,
    Ioc,
    Fok,
    Maker,
    Market,
}

impl Form {
    const ALL: [Self; 5] = [Self::Gtc, Self::Ioc, Self::Fok, Self::Maker, Self::Market];

    #[inline]
    const fn of(kind: OrderKind, time_in_force: TimeInForce) -> Self {
        match (kind, time_in_force) {
            (OrderKind::Limit, TimeInForce::Gtc) => Self::Gtc,
            (OrderKind::Limit, TimeInForce::Ioc) => Self::Ioc,
            (OrderKind::Limit, TimeInForce::Fok) => Self::Fok,
            (OrderKind::LimitMaker, _) => Self::Maker,
            (OrderKind::Market, _) => Self::Market,
        }
    }

    const fn kind(self) -> OrderKind {
        match self {
            Self::Gtc | Self::Ioc | Self::Fok => OrderKind::Limit,
            Self::Maker => OrderKind::LimitMaker,
            Self::Market => OrderKind::Market,
        }
    }

    /// `None` where the venue refuses the parameter.
    const fn time_in_force(self) -> Option<TimeInForce> {
        match self {
            Self::Gtc => Some(TimeInForce::Gtc),
            Self::Ioc => Some(TimeInForce::Ioc),
            Self::Fok => Some(TimeInForce::Fok),
            Self::Maker | Self::Market => None,
        }
    }
}

/// One new order and when it is sent.
pub(super) struct NewOrder<'r> {
    row: &'r Row,
    at: VenueMillis,
    id: OrderId,
    side: Side,
    form: Form,
    self_trade_prevention: SelfTradePrevention,
    price: E8,
    qty: E8,
}

impl<'r> NewOrder<'r> {
    #[inline]
    pub(super) fn new(at: VenueMillis, id: OrderId, intent: &Intent, row: &'r Row) -> Self {
        Self {
            row,
            at,
            id,
            side: intent.side,
            form: Form::of(intent.kind, intent.time_in_force),
            self_trade_prevention: intent.self_trade_prevention,
            price: row.price(intent.price.0),
            qty: row.qty(intent.qty),
        }
    }

    #[inline]
    const fn modes(&self) -> usize {
        self.side.index() * SelfTradePrevention::ALL.len() + self.self_trade_prevention.index()
    }
}

/// Longest of each kind: checked when they are made.
type JsonTerms = Block<160>;
type PayloadModes = Block<96>;
type PayloadForm = Block<32>;

/// What all new orders of one link have in common.
pub(super) struct NewOrderTexts {
    /// JSON after the symbol, up to the opening quote of the first number.
    json: Vec<JsonTerms>,
    /// Payload after the quantity, up to the symbol; by side and mode.
    modes: Vec<PayloadModes>,
    /// Payload after the symbol, up to the timestamp, and after it; by form.
    forms: Vec<(PayloadForm, PayloadForm)>,
}

impl NewOrderTexts {
    pub(super) fn new(recv_window_ms: u16) -> Self {
        let recv_window = Digits::new(u64::from(recv_window_ms));
        let recv_window = recv_window.bytes();
        let mut json = Vec::with_capacity(2 * 5 * 5);
        let mut modes = Vec::with_capacity(2 * 5);
        for side in Side::ALL {
            let side = side.label().as_bytes();
            for mode in SelfTradePrevention::ALL {
                let mode = mode.label().as_bytes();
                modes.push(Block::new(&[
                    b"&recvWindow=",
                    recv_window,
                    b"&selfTradePreventionMode=",
                    mode,
                    b"&side=",
                    side,
                    b"&symbol=",
                ]));
                for form in Form::ALL {
                    let (open, time_in_force, close) = match form.time_in_force() {
                        Some(it) => (&b"\",\"timeInForce\":\""[..], it.label(), &b"\""[..]),
                        None => (&b"\""[..], "", &b""[..]),
                    };
                    let first: &[u8] = match form {
                        Form::Gtc | Form::Ioc | Form::Fok | Form::Maker => b",\"price\":\"",
                        Form::Market => b",\"quantity\":\"",
                    };
                    json.push(Block::new(&[
                        b"\",\"side\":\"",
                        side,
                        b"\",\"type\":\"",
                        form.kind().label().as_bytes(),
                        open,
                        time_in_force.as_bytes(),
                        close,
                        b",\"newOrderRespType\":\"ACK\",\"selfTradePreventionMode\":\"",
                        mode,
                        b"\",\"recvWindow\":",
                        recv_window,
                        first,
                    ]));
                }
            }
        }
        let forms = Form::ALL.map(|form| {
            let before = match form.time_in_force() {
                Some(it) => Block::new(&[b"&timeInForce=", it.label().as_bytes(), b"&timestamp="]),
                None => Block::new(&[b"&timestamp="]),
            };
            (
                before,
                Block::new(&[b"&type=", form.kind().label().as_bytes()]),
            )
        });
        Self {
            json,
            modes,
            forms: forms.to_vec(),
        }
    }

    /// From the symbol's text to the timestamp; the caller wrote what stands before and closes.
    #[inline]
    pub(super) fn json(&self, json: &mut Writer<'_>, order: &NewOrder<'_>, ids: &ClientOrderIds) {
        let row = order.row;
        json.block(&row.symbol);
        json.block(&self.json[order.modes() * Form::ALL.len() + order.form as usize]);
        if order.form != Form::Market {
            json.decimal(order.price, row.price_places);
            json.literal(b"\",\"quantity\":\"");
        }
        json.decimal(order.qty, row.qty_places);
        json.literal(b"\",\"newClientOrderId\":\"");
        json.id(|room| ids.order(order.id, room).len());
        json.literal(b"\",\"timestamp\":");
        json.unsigned(order.at.0);
    }

    /// The same parameters sorted, from `newClientOrderId` on.
    #[inline]
    pub(super) fn payload(
        &self,
        payload: &mut Writer<'_>,
        order: &NewOrder<'_>,
        ids: &ClientOrderIds,
    ) {
        let row = order.row;
        payload.literal(b"newClientOrderId=");
        payload.id(|room| ids.order(order.id, room).len());
        payload.literal(b"&newOrderRespType=ACK");
        if order.form != Form::Market {
            payload.literal(b"&price=");
            payload.decimal(order.price, row.price_places);
        }
        payload.literal(b"&quantity=");
        payload.decimal(order.qty, row.qty_places);
        payload.block(&self.modes[order.modes()]);
        payload.block(&row.symbol);
        let (before, after) = &self.forms[order.form as usize];
        payload.block(before);
        payload.unsigned(order.at.0);
        payload.block(after);
    }
}
