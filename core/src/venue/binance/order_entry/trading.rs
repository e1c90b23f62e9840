//! The requests of the hot path: a new order, a cancel, and both in one.
//!
//! Owns: their texts. Does not: answer whether they may be sent. Invariant: a new order is written from an
//! [`Admitted`], which only risk makes.

use super::message::Writer;
use super::new_order::NewOrder;
use super::params::close;
use super::{ClientOrderIds, OrderEntry, OrderRequest, OrderTarget, RequestKind, next_id};
use crate::order::{Intent, OrderId};
use crate::risk::Admitted;
use crate::units::VenueMillis;

/// Weight of each of these requests, should it fail: success costs none.
const WEIGHT: u32 = 1;

impl OrderEntry {
    /// A new order under our number `id`; answered as soon as the venue has it (`ACK`).
    #[inline]
    pub fn place(&mut self, at: VenueMillis, id: OrderId, order: &Admitted) -> OrderRequest<'_> {
        self.write_place(at, id, order.intent())
    }

    /// Takes back `cancel` if nothing of it has traded and, if that succeeded, places a new order under our number
    /// `id`. So what the two can come to is never more than the larger of them.
    #[inline]
    pub fn cancel_replace(
        &mut self,
        at: VenueMillis,
        cancel: OrderTarget,
        id: OrderId,
        order: &Admitted,
    ) -> OrderRequest<'_> {
        self.write_cancel_replace(at, cancel, id, order.intent())
    }

    /// Takes an order back.
    #[inline]
    pub fn cancel(&mut self, at: VenueMillis, target: OrderTarget) -> OrderRequest<'_> {
        let id = next_id(&mut self.sequence, RequestKind::Cancel);
        let row = &self.rows[target.instrument.as_usize()];
        let recv_window_ms = u64::from(self.recv_window_ms);
        let mut json = Writer::new(&mut self.message);
        json.literal(b"{\"id\":");
        json.unsigned(id.to_wire());
        json.literal(b",\"method\":\"order.cancel\",\"params\":{\"symbol\":\"");
        json.block(&row.symbol);
        json.literal(b"\",\"newClientOrderId\":\"");
        json.id(|room| self.ids.cancel(target.order, room).len());
        if let Some(venue_order_id) = target.venue_order_id {
            json.literal(b"\",\"orderId\":");
            json.unsigned(venue_order_id);
        } else {
            json.literal(b"\",\"origClientOrderId\":\"");
            json.id(|room| self.ids.order(target.order, room).len());
            json.literal(b"\"");
        }
        json.literal(b",\"recvWindow\":");
        json.unsigned(recv_window_ms);
        json.literal(b",\"timestamp\":");
        json.unsigned(at.0);
        let message = if self.credentials.signs_each() {
            let mut payload = Writer::new(&mut self.payload);
            self.credentials.begin_payload(&mut payload);
            payload.literal(b"newClientOrderId=");
            let names = (b"&orderId=", b"&origClientOrderId=");
            cancelled(&mut payload, &self.ids, target, names);
            payload.literal(b"&recvWindow=");
            payload.unsigned(recv_window_ms);
            payload.literal(b"&symbol=");
            payload.block(&row.symbol);
            payload.literal(b"&timestamp=");
            payload.unsigned(at.0);
            self.credentials.close_signed(json, &payload)
        } else {
            close(json)
        };
        OrderRequest {
            id,
            weight: WEIGHT,
            message,
        }
    }

    #[inline]
    pub(super) fn write_place(
        &mut self,
        at: VenueMillis,
        id: OrderId,
        intent: &Intent,
    ) -> OrderRequest<'_> {
        let request = next_id(&mut self.sequence, RequestKind::Place);
        let row = &self.rows[intent.instrument.as_usize()];
        let order = NewOrder::new(at, id, intent, row);
        let mut json = Writer::new(&mut self.message);
        json.literal(b"{\"id\":");
        json.unsigned(request.to_wire());
        json.literal(b",\"method\":\"order.place\",\"params\":{\"symbol\":\"");
        self.texts.json(&mut json, &order, &self.ids);
        let message = if self.credentials.signs_each() {
            let mut payload = Writer::new(&mut self.payload);
            self.credentials.begin_payload(&mut payload);
            self.texts.payload(&mut payload, &order, &self.ids);
            self.credentials.close_signed(json, &payload)
        } else {
            close(json)
        };
        OrderRequest {
            id: request,
            weight: WEIGHT,
            message,
        }
    }

    #[inline]
    pub(super) fn write_cancel_replace(
        &mut self,
        at: VenueMillis,
        cancel: OrderTarget,
        id: OrderId,
        intent: &Intent,
    ) -> OrderRequest<'_> {
        debug_assert_eq!(cancel.instrument, intent.instrument, "one symbol a request");
        let request = next_id(&mut self.sequence, RequestKind::CancelReplace);
        let row = &self.rows[intent.instrument.as_usize()];
        let order = NewOrder::new(at, id, intent, row);
        let mut json = Writer::new(&mut self.message);
        json.literal(b"{\"id\":");
        json.unsigned(request.to_wire());
        json.literal(b",\"method\":\"order.cancelReplace\",\"params\":{");
        json.literal(
            b"\"cancelReplaceMode\":\"STOP_ON_FAILURE\",\"cancelRestrictions\":\"ONLY_NEW\",",
        );
        json.literal(b"\"cancelNewClientOrderId\":\"");
        json.id(|room| self.ids.cancel(cancel.order, room).len());
        if let Some(venue_order_id) = cancel.venue_order_id {
            json.literal(b"\",\"cancelOrderId\":");
            json.unsigned(venue_order_id);
            json.literal(b",\"symbol\":\"");
        } else {
            json.literal(b"\",\"cancelOrigClientOrderId\":\"");
            json.id(|room| self.ids.order(cancel.order, room).len());
            json.literal(b"\",\"symbol\":\"");
        }
        self.texts.json(&mut json, &order, &self.ids);
        let message = if self.credentials.signs_each() {
            let mut payload = Writer::new(&mut self.payload);
            self.credentials.begin_payload(&mut payload);
            payload.literal(b"cancelNewClientOrderId=");
            let names = (b"&cancelOrderId=", b"&cancelOrigClientOrderId=");
            cancelled(&mut payload, &self.ids, cancel, names);
            payload.literal(b"&cancelReplaceMode=STOP_ON_FAILURE&cancelRestrictions=ONLY_NEW&");
            self.texts.payload(&mut payload, &order, &self.ids);
            self.credentials.close_signed(json, &payload)
        } else {
            close(json)
        };
        OrderRequest {
            id: request,
            weight: WEIGHT,
            message,
        }
    }
}

/// The cancel's own id, and the order by the venue's id or by ours, under these names.
#[inline]
fn cancelled<const N: usize, const M: usize>(
    payload: &mut Writer<'_>,
    ids: &ClientOrderIds,
    target: OrderTarget,
    (by_venue_id, by_our_id): (&[u8; N], &[u8; M]),
) {
    payload.id(|room| ids.cancel(target.order, room).len());
    if let Some(venue_order_id) = target.venue_order_id {
        payload.literal(by_venue_id);
        payload.unsigned(venue_order_id);
    } else {
        payload.literal(by_our_id);
        payload.id(|room| ids.order(target.order, room).len());
    }
}
