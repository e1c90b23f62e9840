//! Any bytes from a server, in any pieces: no panic, and the pieces change nothing.
//!
//! The first byte seeds the lengths of the pieces; the rest is the stream. What is handed out has its
//! slack, what fails fails again with the same error, and a message never passes the bound.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veloz_core::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};
use veloz_core::wire::websocket::{FrameError, FrameKind, Reader};

/// Small, so that the bound is met and the buffer has to make room.
const MESSAGE_BYTES_MAX: usize = 700;

type Got = (Vec<(FrameKind, Vec<u8>)>, Option<FrameError>);

fn read(stream: &[u8], mut piece: impl FnMut() -> usize) -> Got {
    let mut reader = Reader::new(MESSAGE_BYTES_MAX);
    let mut got = Vec::new();
    let mut rest = stream;
    loop {
        loop {
            match reader.poll() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    assert!(frame.len() <= MESSAGE_BYTES_MAX);
                    let payload = reader.payload(frame);
                    let (whole, start, end) = payload.with_slack();
                    assert!(start >= PAYLOAD_SLACK_BEFORE);
                    assert!(end + PAYLOAD_SLACK_AFTER <= whole.len());
                    got.push((frame.kind, payload.bytes().to_vec()));
                }
                Err(error) => {
                    assert_eq!(reader.poll(), Err(error));
                    return (got, Some(error));
                }
            }
        }
        if rest.is_empty() {
            return (got, None);
        }
        assert!(reader.space().len() >= Reader::ROOM_BYTES_MIN);
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        assert_eq!(reader.push(now), now.len());
        rest = later;
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((seed, stream)) = input.split_first() else {
        return;
    };
    let mut state = u32::from(*seed);
    let pieces = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize
    };
    let whole = read(stream, || Reader::ROOM_BYTES_MIN);
    assert_eq!(read(stream, pieces), whole);
    assert_eq!(read(stream, || 1), whole);
});
