//! Reading one unmasked text frame of 500 bytes that arrives alone, as a live tick does.
//!
//! tungstenite checks that text is UTF-8; ours leaves that to the JSON scanner, which rejects every
//! byte that it does not know.

use crate::measure::{Gate, Peer, Random, compare, timed};
use std::hint::black_box;
use std::io::{Read, Write};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use veloz_core::limits::MESSAGE_BYTES_MAX;
use veloz_core::wire::websocket::Reader;

const FRAMES: usize = 64;
const READS_PER_ROUND: usize = 20_000;
const ROUNDS: usize = 41;
const PAYLOAD_BYTES: usize = 500;

pub fn run() -> bool {
    let frames = frames();
    let read_all = |config: WebSocketConfig| {
        let mut socket = socket(&frames, config);
        for frame in &frames {
            let message = socket.read().expect("a frame");
            assert_eq!(message.to_text().expect("text").as_bytes(), &frame[4..]);
        }
    };
    read_all(WebSocketConfig::default());
    let mut reader = Reader::new(MESSAGE_BYTES_MAX);
    for frame in &frames {
        assert_eq!(reader.push(frame), frame.len());
        let whole = reader.poll().expect("valid").expect("whole");
        assert_eq!(reader.bytes(whole), &frame[4..]);
        assert_eq!(reader.poll(), Ok(None));
    }

    let ours = |_| {
        timed(|| {
            for frame in frames.iter().cycle().take(READS_PER_ROUND) {
                // The copy stands for the kernel's; the reader works where the bytes lie.
                let space = reader.space();
                space[..frame.len()].copy_from_slice(frame);
                reader.filled(frame.len());
                let whole = reader.poll().expect("valid").expect("whole");
                black_box(reader.bytes(whole));
                assert_eq!(reader.poll(), Ok(None));
            }
        })
    };
    let tungstenite = |config| {
        let mut socket = socket(&frames, config);
        move |_| {
            timed(|| {
                for _ in 0..READS_PER_ROUND {
                    black_box(socket.read().expect("a frame"));
                }
            })
        }
    };
    let small = WebSocketConfig::default().read_buffer_size(4 << 10);
    compare(
        "websocket frame, 500 bytes of text, one a read",
        READS_PER_ROUND,
        ROUNDS,
        &mut [
            Peer::new("veloz-core Reader", Gate::None, ours),
            Peer::new(
                "tungstenite, 4 KiB buffer",
                Gate::AtLeast(6.0),
                tungstenite(small),
            ),
            Peer::new(
                "tungstenite, default buffer (128 KiB)",
                Gate::None,
                tungstenite(WebSocketConfig::default()),
            ),
        ],
    )
}

fn frames() -> Vec<Vec<u8>> {
    let mut random = Random(0x1234_5678_9abc_def1);
    let frame = |_| {
        let mut bytes = vec![0x81, 126];
        bytes.extend((PAYLOAD_BYTES as u16).to_be_bytes());
        bytes.extend((0..PAYLOAD_BYTES).map(|_| b' ' + random.below(95) as u8));
        bytes
    };
    (0..FRAMES).map(frame).collect()
}

/// A connection that delivers one frame a read, for ever.
struct Arrivals<'a> {
    frames: std::iter::Cycle<std::slice::Iter<'a, Vec<u8>>>,
}

impl Read for Arrivals<'_> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let frame = self.frames.next().expect("endless");
        buffer[..frame.len()].copy_from_slice(frame);
        Ok(frame.len())
    }
}

impl Write for Arrivals<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn socket(frames: &[Vec<u8>], config: WebSocketConfig) -> WebSocket<Arrivals<'_>> {
    let frames = frames.iter().cycle();
    WebSocket::from_raw_socket(Arrivals { frames }, Role::Client, Some(config))
}
