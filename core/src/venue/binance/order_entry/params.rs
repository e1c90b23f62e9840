//! Requests that are not on the hot path, from a list of parameters; and how any request ends.
//!
//! Owns: [`Value`], the writing of parameters as JSON and as the text that is signed, and the end of a
//! request with or without a signature. Does not: know methods. Invariant: the text that is signed has every
//! parameter of the message but the signature, sorted by name, as it stands there without quotes.

use super::message::{Buffer, Writer};
use super::{
    ClientOrderIds, Credentials, OrderEntry, OrderRequest, OrderTarget, RequestKind, next_id,
};
use crate::order::OrderId;
use crate::units::E8;
use crate::wire::sign::SignatureText;

/// The value of one parameter.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a [u8]),
    Number(u64),
    Decimal(E8, u32),
    /// The id of an order at the venue.
    Order(OrderId),
}

pub(super) type Param<'a> = (&'static str, Value<'a>);

/// How a request proves who sends it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Not at all, or by the session that it is sent on.
    None,
    /// By key and signature.
    Signature,
}

impl OrderEntry {
    /// Any request; `params` are sorted by name, and none of them sorts before `apiKey`.
    pub(super) fn request(
        &mut self,
        kind: RequestKind,
        method: &str,
        weight: u32,
        proof: Proof,
        params: &[Param<'_>],
    ) -> OrderRequest<'_> {
        debug_assert!(
            params.is_sorted_by_key(|(name, _)| *name),
            "sorted to be signed"
        );
        debug_assert!(params.iter().all(|(name, _)| *name > "apiKey"));
        let id = next_id(&mut self.sequence, kind);
        let mut json = Writer::new(&mut self.message);
        json.literal(b"{\"id\":");
        json.unsigned(id.to_wire());
        json.literal(b",\"method\":\"");
        json.bytes(method.as_bytes());
        json.literal(b"\"");
        for (position, (name, value)) in params.iter().enumerate() {
            if position == 0 {
                json.literal(b",\"params\":{\"");
            } else {
                json.literal(b",\"");
            }
            json.bytes(name.as_bytes());
            json.literal(b"\":");
            let quoted = match value {
                Value::Text(_) | Value::Decimal(..) | Value::Order(_) => true,
                Value::Number(_) => false,
            };
            if quoted {
                json.literal(b"\"");
            }
            value.write(&mut json, &self.ids);
            if quoted {
                json.literal(b"\"");
            }
        }
        let message = match (proof, params.is_empty()) {
            (Proof::None, true) => {
                json.literal(b"}");
                json.finish()
            }
            (Proof::None, false) => close(json),
            (Proof::Signature, _) => {
                let mut payload = Writer::new(&mut self.payload);
                self.credentials.begin_payload(&mut payload);
                for (position, (name, value)) in params.iter().enumerate() {
                    if position > 0 {
                        payload.literal(b"&");
                    }
                    payload.bytes(name.as_bytes());
                    payload.literal(b"=");
                    value.write(&mut payload, &self.ids);
                }
                self.credentials.close_signed(json, &payload)
            }
        };
        OrderRequest {
            id,
            weight,
            message,
        }
    }
}

impl OrderTarget {
    /// The venue's id where it is known, else ours.
    pub(super) fn param(&self) -> Param<'static> {
        match self.venue_order_id {
            Some(venue_order_id) => ("orderId", Value::Number(venue_order_id)),
            None => ("origClientOrderId", Value::Order(self.order)),
        }
    }
}

impl Value<'_> {
    fn write(self, text: &mut Writer<'_>, ids: &ClientOrderIds) {
        match self {
            Self::Text(bytes) => text.bytes(bytes),
            Self::Number(number) => text.unsigned(number),
            Self::Decimal(value, places) => text.decimal(value, places),
            Self::Order(order) => text.id(|room| ids.order(order, room).len()),
        }
    }
}

impl Credentials {
    /// Whether every request is signed, because there is no session that could be logged on.
    pub(super) const fn signs_each(&self) -> bool {
        !self.signer.can_log_on()
    }

    /// Tells the signer what every payload begins with.
    pub(super) fn know_beginning(&mut self, buffer: &mut Buffer) {
        let mut payload = Writer::new(buffer);
        self.begin_payload(&mut payload);
        self.signer.begin_with(payload.text());
    }

    /// The parameter that sorts before all others.
    #[inline]
    pub(super) fn begin_payload(&self, payload: &mut Writer<'_>) {
        payload.literal(b"apiKey=");
        payload.bytes(self.api_key.as_bytes());
        payload.literal(b"&");
    }

    /// Ends a request with key and signature.
    #[inline]
    pub(super) fn close_signed<'b>(&self, mut json: Writer<'b>, payload: &Writer<'_>) -> &'b [u8] {
        let mut text = SignatureText::default();
        let signature = self.signer.sign(payload.text(), &mut text);
        json.literal(b",\"apiKey\":\"");
        json.bytes(self.api_key.as_bytes());
        json.literal(b"\",\"signature\":\"");
        json.bytes(signature);
        json.literal(b"\"}}");
        json.finish()
    }
}

/// Ends a request with parameters.
#[inline]
pub(super) fn close(mut json: Writer<'_>) -> &[u8] {
    json.literal(b"}}");
    json.finish()
}
