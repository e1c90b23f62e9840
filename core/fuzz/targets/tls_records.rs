//! Any records of a server, sealed with its key or not, in any pieces: no panic, the pieces change nothing,
//! and what a sealed record says is what arrives.
//!
//! The first byte seeds the lengths of the pieces. Then each item is a byte for its kind, one for a length,
//! and so many bytes: a record of data, alert, handshake or the type that the first content byte says, which
//! may end in zeros; the server's next key; or bytes as they are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veloz_core::edge::tls::record::{
    IV_BYTES, KeySource, Opened, RECORD_OVERHEAD, RecordFault, RecordLayer, Suite, TrafficKey,
};

const DATA: u8 = 23;

fn key(generation: u8) -> TrafficKey {
    let key = [generation; 16];
    TrafficKey::new(Suite::Aes128Gcm, &key, [generation; IV_BYTES], 0).expect("its length")
}

/// Keys by generation; a ticket that begins with zero is bad.
#[derive(Default)]
struct Generations {
    rx: u8,
    tx: u8,
}

impl KeySource for Generations {
    fn next_rx(&mut self) -> Result<TrafficKey, RecordFault> {
        self.rx = self.rx.wrapping_add(1);
        Ok(key(self.rx))
    }

    fn next_tx(&mut self) -> Result<TrafficKey, RecordFault> {
        self.tx = self.tx.wrapping_add(1);
        Ok(key(self.tx))
    }

    fn ticket(&mut self, body: &[u8]) -> Result<(), RecordFault> {
        if body.first() == Some(&0) {
            return Err(RecordFault::Ticket);
        }
        Ok(())
    }
}

/// The bytes of all items, and the data of the records up to the first without data.
fn wire(mut items: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut wire = Vec::new();
    let mut said = Vec::new();
    let mut only_data = true;
    let mut tx = key(0);
    let mut generation = 0u8;
    while let [item, len, rest @ ..] = items {
        let (content, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        items = rest;
        let kind = match item % 8 {
            0..3 => DATA,
            3 => 21,
            4 | 5 => 22,
            6 => {
                generation = generation.wrapping_add(1);
                tx = key(generation);
                only_data = false;
                continue;
            }
            _ if *item < 128 => {
                wire.extend_from_slice(content);
                only_data = false;
                continue;
            }
            _ => content.first().copied().unwrap_or(0),
        };
        let bytes = content.len() + RECORD_OVERHEAD;
        let [high, low] = ((bytes - 5) as u16).to_be_bytes();
        let header = [23, 3, 3, high, low];
        let mut body = vec![0; bytes - 5];
        tx.seal(header, content, kind, &mut body).expect("a number");
        wire.extend(header);
        wire.extend(body);
        // A long row of empty ones is refused.
        only_data &= kind == DATA && !content.is_empty();
        if only_data {
            said.extend_from_slice(content);
        }
    }
    (wire, said)
}

type Got = (Vec<u8>, Option<RecordFault>, bool, Vec<u8>);

fn read(wire: &[u8], mut piece: impl FnMut() -> usize) -> Got {
    let mut layer = RecordLayer::new(key(0), key(0), 1 << 24, Generations::default());
    let mut received = Vec::new();
    let mut got = Vec::new();
    let mut sent = Vec::new();
    let mut room = [0; 200];
    let mut rest = wire;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        received.extend_from_slice(now);
        rest = later;
        loop {
            match layer.open(&mut received) {
                Ok(Opened::Partial) => break,
                Ok(Opened::Data { bytes, data }) => {
                    assert!(!data.is_empty() && data.end < bytes);
                    got.extend_from_slice(&received[data]);
                    received.drain(..bytes);
                }
                Ok(Opened::Control { bytes }) => {
                    received.drain(..bytes);
                    let answer = layer.answer(&mut room).expect("a key");
                    sent.extend_from_slice(&room[..answer]);
                }
                Ok(Opened::Closed) => {
                    let goodbye = layer.close(&mut room);
                    sent.extend_from_slice(&room[..goodbye]);
                    return (got, None, true, sent);
                }
                Err(fault) => {
                    let alert = layer.alert(fault, &mut room);
                    assert_eq!(alert > 0, fault.alert().is_some());
                    sent.extend_from_slice(&room[..alert]);
                    assert!(layer.open(&mut received).is_err(), "it stays broken");
                    return (got, Some(fault), false, sent);
                }
            }
        }
    }
    (got, None, false, sent)
}

fuzz_target!(|input: &[u8]| {
    let Some((seed, items)) = input.split_first() else {
        return;
    };
    let (wire, said) = wire(items);
    let mut state = u32::from(*seed);
    let pieces = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize
    };
    let whole = read(&wire, || usize::MAX);
    assert!(whole.0.starts_with(&said), "what was said arrives");
    assert_eq!(read(&wire, pieces), whole);
    assert_eq!(read(&wire, || 1), whole);
});
