//! Capture files: damage is an error with an offset, never a panic, and what is read writes back equal.
//!
//! The first byte says what the rest is: a whole file, the body of a file header under a good checksum,
//! or the entries of a block.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veloz::capture::block::{Entry, EventBlock, decode};
use veloz::capture::reader::CaptureReader;
use veloz::capture::{MAGIC, VERSION};
use veloz_core::limits::{PAYLOAD_SLACK_AFTER, PAYLOAD_SLACK_BEFORE};

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    match kind % 3 {
        0 => read(rest),
        1 => read(&sealed_header(rest)),
        _ => decode_entries(rest),
    }
});

fn read(file: &[u8]) {
    let Ok(mut reader) = CaptureReader::new(file) else {
        return;
    };
    loop {
        match reader.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                assert!(error.offset <= file.len() as u64);
                assert!(matches!(reader.next_entry(), Ok(None)), "an error is final");
                break;
            }
        }
    }
}

fn sealed_header(body: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(MAGIC);
    file.extend(VERSION.to_le_bytes());
    file.extend([0; 2]);
    file.extend((body.len() as u32).to_le_bytes());
    file.extend(body);
    file.extend(crc32fast::hash(&file).to_le_bytes());
    file
}

fn decode_entries(entries: &[u8]) {
    let mut buffer = vec![0; PAYLOAD_SLACK_BEFORE];
    buffer.extend(entries);
    let end = buffer.len();
    buffer.resize(end + PAYLOAD_SLACK_AFTER, 0);
    let mut at = PAYLOAD_SLACK_BEFORE;
    let mut block = EventBlock::default();
    while at < end && !block.is_full() {
        let Ok((entry, next)) = decode(&buffer, at, end) else {
            return;
        };
        block.clear();
        match entry {
            Entry::Event { now, event } => block.push(now, &event),
            Entry::Lost { since, count } => block.push_lost(since, count),
        }
        assert_eq!(block.raw(), &buffer[at..next], "written back equal");
        at = next;
    }
}
