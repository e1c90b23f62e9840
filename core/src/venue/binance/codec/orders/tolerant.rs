//! What a message of the orders link means, in any key order: the reference that the scanner must agree with.
//!
//! Owns: the dispatch on keys and every fault of decoding. Does not: hurry. Rules:
//! * an object with `event` is a user data event, one with `status` an answer, any other is ignored;
//! * an answer means what its id says was asked, and `error` beside it;
//! * whose an order is decides first: what cannot be read of an order of others is skipped, of ours a fault;
//! * unknown keys are skipped, keys are compared by case, a known key twice is a fault.

mod answer;
mod event;
mod keys;
mod rows;

use super::{Context, Lists, OrderMessage};
use crate::instrument::AssetIndex;
use crate::order::OrderKey;
use crate::venue::binance::fault::{Fault, VenueFault};
use keys::{EVENT, STATUS, object};

/// Decodes one message; lists go to `lists`.
pub(super) fn decode<'l>(
    bytes: &[u8],
    context: &mut Context,
    lists: &'l mut Lists,
) -> Result<OrderMessage<'l>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::new(VenueFault::Malformed))?;
    let Some(top) = object(text)? else {
        return Ok(OrderMessage::Ignored);
    };
    if top.has(EVENT) {
        return event::decode(top.raw(EVENT)?, context, lists);
    }
    if top.has(STATUS) {
        return answer::decode(&top, context, lists);
    }
    Ok(OrderMessage::Ignored)
}

/// The variant whose label is `text`.
fn word<T: Copy>(all: &[T], label: impl Fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|variant| label(*variant) == text)
}

/// Whether a fault may be passed over because the order is somebody else's: its numbers need not fit our
/// grids, and it may be of kinds that we never place. A missing or damaged value is a fault whoever it is of.
fn is_foreigners(key: OrderKey, fault: &Fault) -> bool {
    key == OrderKey::Foreign
        && matches!(
            fault.kind,
            VenueFault::NumberOffGrid
                | VenueFault::NumberRange
                | VenueFault::UnknownWord
                | VenueFault::EmptyTrade
                | VenueFault::OrderInconsistent
        )
}

impl Context {
    /// The asset of this name, if it is one of ours; counted if not.
    fn asset(&mut self, name: &str) -> Option<AssetIndex> {
        let found = self.assets.find(name.as_bytes());
        if found.is_none() {
            self.counts.other_assets += 1;
        }
        found
    }

    /// The asset in which a fee was taken.
    fn fee_asset(&mut self, name: &str) -> Option<AssetIndex> {
        let found = self.assets.find(name.as_bytes());
        if found.is_none() {
            self.counts.other_fee_assets += 1;
        }
        found
    }
}
