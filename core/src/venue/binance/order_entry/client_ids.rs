//! The ids that our orders carry at the venue.
//!
//! Owns: [`ClientOrderIds`]. Does not: choose the instance's prefix or count orders.
//!
//! ```text
//! order   vz-<prefix>_<run>_<sequence>     vz-mm1_7_3k
//! cancel  vc-<prefix>_<run>_<sequence>     of the same order
//! ```
//!
//! Run and sequence are in base 36 (`0-9a-z`) without leading zeros. Invariants: at most 31 of the 36
//! bytes that the venue allows; one order has one id, for ever; the prefix has no `_`, so no instance's ids
//! begin like another's; a cancel's own id never reads as an order's.

use crate::order::{OrderId, OrderKey};

/// Bytes of an instance prefix.
pub const PREFIX_BYTES_MAX: usize = 12;

/// Bytes of the longest id: mark, prefix, and two numbers of seven digits behind underscores.
pub const CLIENT_ORDER_ID_BYTES_MAX: usize = MARK_BYTES + PREFIX_BYTES_MAX + 1 + 7 + 1 + 7;

/// Room for one id, and for the words in which its numbers are written.
pub type ClientOrderIdRoom = [u8; 40];

const MARK_BYTES: usize = 3;
const HEAD_BYTES: usize = MARK_BYTES + PREFIX_BYTES_MAX + 1;
const ORDER_MARK: [u8; MARK_BYTES] = *b"vz-";
const CANCEL_MARK: [u8; MARK_BYTES] = *b"vc-";
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

// The venue's bound, and the room for a word of eight bytes after the longest id.
const _: () = assert!(CLIENT_ORDER_ID_BYTES_MAX <= crate::order::CLIENT_ID_BYTES_MAX);
const _: () = assert!(CLIENT_ORDER_ID_BYTES_MAX < size_of::<ClientOrderIdRoom>());

/// A prefix that cannot stand in front of ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the instance prefix {0:?} cannot be used: expected 1 to {PREFIX_BYTES_MAX} of the characters A-Z a-z 0-9 and -"
)]
pub struct PrefixError(pub String);

/// Makes and reads the ids of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOrderIds {
    /// Mark, prefix and underscore, padded.
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
}

impl ClientOrderIds {
    /// The ids of the instance with this prefix, which must differ from that of every other instance on
    /// the same account and stay the same over restarts.
    ///
    /// # Errors
    /// [`PrefixError`] unless it is 1 to [`PREFIX_BYTES_MAX`] of `A-Z a-z 0-9 -`.
    pub fn new(prefix: &str) -> Result<Self, PrefixError> {
        let text = prefix.as_bytes();
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        if text.is_empty() || text.len() > PREFIX_BYTES_MAX || !text.iter().all(legal) {
            return Err(PrefixError(prefix.to_owned()));
        }
        let mut head = [0; HEAD_BYTES];
        let head_bytes = MARK_BYTES + text.len() + 1;
        head[..MARK_BYTES].copy_from_slice(&ORDER_MARK);
        head[MARK_BYTES..head_bytes - 1].copy_from_slice(text);
        head[head_bytes - 1] = b'_';
        Ok(Self { head, head_bytes })
    }

    /// The instance's prefix.
    pub fn prefix(&self) -> &str {
        std::str::from_utf8(&self.head[MARK_BYTES..self.head_bytes - 1])
            .expect("checked to be ASCII")
    }

    /// The id of an order.
    #[inline]
    pub fn order<'r>(&self, order: OrderId, room: &'r mut ClientOrderIdRoom) -> &'r [u8] {
        let bytes = self.write(ORDER_MARK, order, room);
        &room[..bytes]
    }

    /// The id of a cancel of this order; all cancels of one order share it.
    #[inline]
    pub fn cancel<'r>(&self, order: OrderId, room: &'r mut ClientOrderIdRoom) -> &'r [u8] {
        let bytes = self.write(CANCEL_MARK, order, room);
        &room[..bytes]
    }

    /// Whose order has this id. A cancel's id names no order.
    #[inline]
    pub fn parse(&self, id: &[u8]) -> OrderKey {
        match self.parse_after(ORDER_MARK, id) {
            Some(order) => OrderKey::Ours(order),
            None => OrderKey::Foreign,
        }
    }

    /// The order that a cancel with this id was sent for, if we sent it.
    pub fn parse_cancel(&self, id: &[u8]) -> Option<OrderId> {
        self.parse_after(CANCEL_MARK, id)
    }

    #[inline]
    fn write(&self, mark: [u8; MARK_BYTES], order: OrderId, room: &mut ClientOrderIdRoom) -> usize {
        room[..HEAD_BYTES].copy_from_slice(&self.head);
        room[..MARK_BYTES].copy_from_slice(&mark);
        let mut at = self.head_bytes;
        at += number(order.run, room, at);
        room[at] = b'_';
        at += 1;
        at + number(order.sequence, room, at)
    }

    #[inline]
    fn parse_after(&self, mark: [u8; MARK_BYTES], id: &[u8]) -> Option<OrderId> {
        let rest = id.strip_prefix(&mark)?;
        let rest = rest.strip_prefix(&self.head[MARK_BYTES..self.head_bytes])?;
        let underscore = rest.iter().position(|&byte| byte == b'_')?;
        Some(OrderId {
            run: parse_number(&rest[..underscore])?,
            sequence: parse_number(&rest[underscore + 1..])?,
        })
    }
}

/// Writes a number in base 36 at a place; returns how many digits it has, up to seven.
#[inline]
fn number(mut number: u32, room: &mut ClientOrderIdRoom, at: usize) -> usize {
    let mut word = 0;
    let mut digits = 0;
    loop {
        word = word << 8 | u64::from(DIGITS[(number % 36) as usize]);
        digits += 1;
        number /= 36;
        if number == 0 {
            break;
        }
    }
    room[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
    digits
}

/// A number in base 36 as [`number`] writes it and in no other form, so that no two ids are one order.
#[inline]
fn parse_number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 7 || (text.len() > 1 && text[0] == b'0') {
        return None;
    }
    let mut value = 0u64;
    for &byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => return None,
        };
        value = value * 36 + u64::from(digit);
    }
    u32::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(run: u32, sequence: u32) -> OrderId {
        OrderId { run, sequence }
    }

    fn text(ids: &ClientOrderIds, order: OrderId) -> String {
        let mut room = [0; 40];
        String::from_utf8(ids.order(order, &mut room).to_vec()).expect("ASCII")
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let ids = ClientOrderIds::new("mm1").expect("legal");
        assert_eq!(ids.prefix(), "mm1");
        assert_eq!(text(&ids, id(7, 128)), "vz-mm1_7_3k");
        assert_eq!(text(&ids, id(0, 0)), "vz-mm1_0_0");
        let mut room = [0; 40];
        assert_eq!(ids.cancel(id(7, 128), &mut room), b"vc-mm1_7_3k");

        let longest = ClientOrderIds::new("ABCDEFghi-12").expect("legal");
        let longest = text(&longest, id(u32::MAX, u32::MAX));
        assert_eq!(longest, "vz-ABCDEFghi-12_1z141z3_1z141z3");
        assert_eq!(longest.len(), CLIENT_ORDER_ID_BYTES_MAX);
    }

    #[test]
    fn a_prefix_is_bounded_and_has_no_underscore() {
        for bad in ["", "a_b", "a b", "ä", "1234567890123", "a.b"] {
            let error = ClientOrderIds::new(bad).expect_err(bad);
            assert_eq!(error, PrefixError(bad.to_owned()));
        }
        assert_eq!(
            PrefixError("a_b".to_owned()).to_string(),
            "the instance prefix \"a_b\" cannot be used: expected 1 to 12 of the characters A-Z a-z 0-9 and -"
        );
    }

    #[test]
    fn what_is_not_exactly_our_form_is_foreign() {
        let ids = ClientOrderIds::new("mm1").expect("legal");
        for foreign in [
            "",
            "vz-mm1_",
            "vz-mm1_7",
            "vz-mm1_7_",
            "vz-mm1__1",
            "vz-mm1_07_1",
            "vz-mm1_7_01",
            "vz-mm1_7_3K",
            "vz-mm1_7_3k ",
            "vz-mm1_7_3k_1",
            "vz-mm1_1z141z4_1",
            "vz-mm1_7_zzzzzzz",
            "vz-mm1_7_100000000",
            "vz-mm12_7_3k",
            "vz-mm_7_3k",
            "vc-mm1_7_3k",
            "vx-mm1_7_3k",
            "web_0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(
                ids.parse(foreign.as_bytes()),
                OrderKey::Foreign,
                "{foreign}"
            );
        }
        assert_eq!(ids.parse_cancel(b"vc-mm1_7_3k"), Some(id(7, 128)));
        assert_eq!(ids.parse_cancel(b"vz-mm1_7_3k"), None);
    }

    proptest! {
        #[test]
        fn ids_survive_the_round_trip_and_are_nobody_elses(
            prefix in "[A-Za-z0-9-]{1,12}",
            other in "[A-Za-z0-9-]{1,12}",
            run: u32,
            sequence: u32,
        ) {
            let ids = ClientOrderIds::new(&prefix).expect("legal");
            let mut room = [0; 40];
            let order = ids.order(id(run, sequence), &mut room).to_vec();
            let cancel = ids.cancel(id(run, sequence), &mut room).to_vec();
            prop_assert!(order.len() <= CLIENT_ORDER_ID_BYTES_MAX);
            prop_assert!(order.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
            prop_assert_eq!(ids.parse(&order), OrderKey::Ours(id(run, sequence)));
            prop_assert_eq!(ids.parse(&cancel), OrderKey::Foreign);
            prop_assert_eq!(ids.parse_cancel(&cancel), Some(id(run, sequence)));
            if other != prefix {
                let others = ClientOrderIds::new(&other).expect("legal");
                prop_assert_eq!(others.parse(&order), OrderKey::Foreign);
                prop_assert_eq!(others.parse_cancel(&cancel), None);
            }
        }

        #[test]
        fn two_orders_have_two_ids(a: (u32, u32), b: (u32, u32)) {
            let ids = ClientOrderIds::new("x").expect("legal");
            let same = text(&ids, id(a.0, a.1)) == text(&ids, id(b.0, b.1));
            prop_assert_eq!(same, a == b);
        }

        #[test]
        fn any_bytes_are_foreign_or_our_own_form(bytes in "(vz-mm1_)?[0-9a-z_A-Z-]{0,16}") {
            let ids = ClientOrderIds::new("mm1").expect("legal");
            if let OrderKey::Ours(order) = ids.parse(bytes.as_bytes()) {
                prop_assert_eq!(text(&ids, order), bytes);
            }
        }
    }
}
