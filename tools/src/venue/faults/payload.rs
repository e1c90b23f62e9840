//! What faults make of a payload.
//!
//! Owns: the spoilt texts. Does not: decide when one is sent.

use std::collections::BTreeSet;

use veloz_core::units::E8;

use super::super::source::Level;

/// Adds removals of levels that no book holds, behind the real ones of each side.
pub(crate) fn huge_event(payload: &[u8], bids: &[Level], asks: &[Level]) -> Option<Vec<u8>> {
    let asks_key = find(payload, br#"],"a":["#)?;
    let end = payload.len().checked_sub(2)?;
    if &payload[end..] != b"]}" || payload[..asks_key].last().is_none() {
        return None;
    }
    let mut out = Vec::with_capacity(payload.len() + 40 * (bids.len() + asks.len()));
    out.extend_from_slice(&payload[..asks_key]);
    append_levels(&mut out, bids);
    out.extend_from_slice(&payload[asks_key..end]);
    append_levels(&mut out, asks);
    out.extend_from_slice(b"]}");
    Some(out)
}

/// Puts a bid in front of a diff's bids.
pub(crate) fn crossed_book(payload: &[u8], bid: Level) -> Option<Vec<u8>> {
    let at = find(payload, br#""b":["#)? + br#""b":["#.len();
    let mut out = payload[..at].to_vec();
    append_levels(&mut out, &[bid]);
    if payload[at] == b'[' {
        out.push(b',');
    }
    out.extend_from_slice(&payload[at..]);
    Some(out)
}

/// A diff's ids with both sides empty.
pub(crate) fn empty_event(payload: &[u8]) -> Option<Vec<u8>> {
    let at = find(payload, br#""b":["#)?;
    let mut out = payload[..at].to_vec();
    out.extend_from_slice(br#""b":[],"a":[]}"#);
    Some(out)
}

/// Keys from the future, around the known ones.
pub(crate) fn unknown_keys(payload: &[u8]) -> Vec<u8> {
    let mut out = br#"{"zz":{"e":"depthUpdate","U":1,"b":[["1.0","2.0"]]},"#.to_vec();
    out.extend_from_slice(&payload[1..payload.len() - 1]);
    out.extend_from_slice(br#","yy":[null,true,-1.5e3,"\u00e9\"}"],"xx":""}"#);
    out
}

/// The first half of a payload.
pub(crate) fn malformed(payload: &[u8]) -> Vec<u8> {
    payload[..payload.len() / 2].to_vec()
}

/// A payload with one byte that is not UTF-8, inside its first string.
pub(crate) fn invalid_utf8(payload: &[u8]) -> Vec<u8> {
    let mut out = payload.to_vec();
    let at = out.len().min(2).saturating_sub(1) + 1;
    if let Some(byte) = out.get_mut(at) {
        *byte = 0xff;
    }
    out
}

fn append_levels(out: &mut Vec<u8>, levels: &[Level]) {
    use std::io::Write as _;
    for level in levels {
        let comma = if out.last() == Some(&b'[') { "" } else { "," };
        let _ = write!(out, r#"{comma}["{}","{}"]"#, level.price, level.qty);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Removals at `count` prices from `first` on, `step` apart, skipping those in `held`.
pub(crate) fn removals(first: E8, step: E8, count: usize, held: &BTreeSet<E8>) -> Vec<Level> {
    (0..)
        .map(|position: i64| E8(first.0 + position * step.0))
        .filter(|price| !held.contains(price))
        .take(count)
        .map(|price| Level { price, qty: E8(0) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &[u8] = concat!(
        r#"{"e":"depthUpdate","E":1,"s":"X","U":1,"u":2,"#,
        r#""b":[["2.00000000","1.00000000"]],"a":[]}"#
    )
    .as_bytes();

    fn text(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.expect("a diff")).expect("UTF-8")
    }

    #[test]
    fn payload_faults_do_what_they_say() {
        let gone = removals(E8(100_000_000), E8(100_000_000), 2, &BTreeSet::new());
        assert_eq!(
            text(huge_event(DIFF, &gone, &gone[..1])),
            concat!(
                r#"{"e":"depthUpdate","E":1,"s":"X","U":1,"u":2,"#,
                r#""b":[["2.00000000","1.00000000"],["1.00000000","0.00000000"],"#,
                r#"["2.00000000","0.00000000"]],"a":[["1.00000000","0.00000000"]]}"#
            )
        );
        let bid = Level {
            price: E8(900_000_000),
            qty: E8(100_000_000),
        };
        assert!(
            text(crossed_book(DIFF, bid)).contains(
                r#""b":[["9.00000000","1.00000000"],["2.00000000","1.00000000"]],"a":[]"#
            )
        );
        assert!(text(empty_event(DIFF)).ends_with(r#""u":2,"b":[],"a":[]}"#));
        let known: serde_json::Value =
            serde_json::from_slice(&unknown_keys(DIFF)).expect("still JSON");
        assert_eq!(known["u"], 2);
        assert!(serde_json::from_slice::<serde_json::Value>(&malformed(DIFF)).is_err());
        assert!(String::from_utf8(invalid_utf8(DIFF)).is_err());
        let held = BTreeSet::from([E8(200_000_000)]);
        let around = removals(E8(100_000_000), E8(100_000_000), 2, &held);
        assert_eq!(around[1].price, E8(300_000_000));
    }
}
