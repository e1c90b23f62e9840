//! The reader against tables, against any chunking, against tungstenite and against noise; the
//! writer against tungstenite's server role.

use std::io::{self, Read, Write};

use proptest::prelude::*;
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket};

use super::*;

const MAX: usize = 70_000;

/// What a reader handed out, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    Failed(FrameError),
}

/// One server frame; the header in its shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(len as u8),
        len @ 126..0x1_0000 => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

fn poll_all(reader: &mut Reader, got: &mut Vec<Got>) -> bool {
    loop {
        match reader.poll() {
            Ok(None) => return true,
            Ok(Some(frame)) => {
                let bytes = reader.bytes(frame).to_vec();
                assert_eq!(frame.len(), bytes.len());
                assert_eq!(reader.payload(frame).bytes(), bytes);
                got.push(match frame.kind {
                    FrameKind::Text => Got::Text(bytes),
                    FrameKind::Binary => Got::Binary(bytes),
                    FrameKind::Ping => Got::Ping(bytes),
                    FrameKind::Pong => Got::Pong(bytes),
                    FrameKind::Close(code) => Got::Close(code.map(CloseCode::get)),
                });
            }
            Err(error) => {
                assert_eq!(reader.poll(), Err(error), "an error repeats");
                got.push(Got::Failed(error));
                return false;
            }
        }
    }
}

/// Everything that `stream` yields when it arrives in pieces of these lengths, over and over.
fn read(stream: &[u8], pieces: &[usize]) -> Vec<Got> {
    let mut reader = Reader::new(MAX);
    let mut got = Vec::new();
    let mut rest = stream;
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*piece).clamp(1, rest.len()));
        rest = later;
        let mut now = now;
        while !now.is_empty() {
            assert!(reader.space().len() >= Reader::ROOM_BYTES_MIN);
            let len = reader.push(now);
            now = &now[len..];
            if !poll_all(&mut reader, &mut got) {
                return got;
            }
        }
    }
    got
}

#[test]
fn frames_of_every_length_form() {
    for len in [0, 1, 125, 126, 127, 4_000, 65_535, 65_536, MAX] {
        let payload: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
        let stream = frame(0x81, &payload);
        assert_eq!(read(&stream, &[usize::MAX]), [Got::Text(payload.clone())]);
        assert_eq!(read(&frame(0x82, &payload), &[7]), [Got::Binary(payload)]);
    }
}

#[test]
fn a_fragmented_message_is_whole_again_with_control_frames_between() {
    let mut stream = frame(0x01, b"{\"a\":");
    stream.extend(frame(0x89, b"\x00\xff ping"));
    stream.extend(frame(0x00, b""));
    stream.extend(frame(0x8a, b"pong"));
    stream.extend(frame(0x00, b"[1,2"));
    stream.extend(frame(0x80, b"]}"));
    stream.extend(frame(0x81, b"{}"));
    stream.extend(frame(0x88, b"\x03\xe8bye"));
    stream.extend(frame(0x81, b"after the end"));
    let expected = [
        Got::Ping(b"\x00\xff ping".to_vec()),
        Got::Pong(b"pong".to_vec()),
        Got::Text(b"{\"a\":[1,2]}".to_vec()),
        Got::Text(b"{}".to_vec()),
        Got::Close(Some(1000)),
    ];
    for piece in 1..stream.len() {
        assert_eq!(read(&stream, &[piece]), expected, "pieces of {piece}");
    }
}

#[test]
fn what_breaks_the_protocol_is_named() {
    let long_control = frame(0x89, &[b'x'; 126]);
    let cases: &[(&[u8], FrameError)] = &[
        (&[0xc1, 0], FrameError::ReservedBits),
        (&[0xa1, 0], FrameError::ReservedBits),
        (&[0x91, 0], FrameError::ReservedBits),
        (&[0x81, 0x80], FrameError::Masked),
        (&[0x81, 0xfe], FrameError::Masked),
        (&[0x83, 0], FrameError::Opcode(3)),
        (&[0x8b, 0], FrameError::Opcode(0xb)),
        (&[0x8f, 0], FrameError::Opcode(0xf)),
        (&[0x09, 0], FrameError::ControlFragmented),
        (&[0x08, 2, 3, 0xe8], FrameError::ControlFragmented),
        (&long_control, FrameError::ControlTooLong),
        (&[0x8a, 127], FrameError::ControlTooLong),
        (&[0x81, 126, 0, 125], FrameError::LengthForm),
        (
            &[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            FrameError::LengthForm,
        ),
        (
            &[0x81, 127, 0x80, 0, 0, 0, 0, 1, 0, 0],
            FrameError::LengthForm,
        ),
        (
            &[0x81, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255],
            FrameError::TooBig,
        ),
        (
            &[0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x71],
            FrameError::TooBig,
        ),
        (&[0x80, 0], FrameError::NothingToContinue),
        (&[0x00, 0], FrameError::NothingToContinue),
        (&[0x01, 0, 0x81, 0], FrameError::MessageInsideMessage),
        (&[0x01, 0, 0x02, 0], FrameError::MessageInsideMessage),
        (&[0x88, 1, 3], FrameError::BadClose),
        (&[0x88, 2, 3, 0xed], FrameError::BadClose),
        (&[0x88, 2, 0, 0], FrameError::BadClose),
        (&[0x88, 2, 0x0b, 0xb7], FrameError::BadClose),
        (&[0x88, 2, 0x13, 0x88], FrameError::BadClose),
    ];
    for (stream, error) in cases {
        assert_eq!(
            read(stream, &[usize::MAX]),
            [Got::Failed(*error)],
            "{stream:x?}"
        );
        assert_eq!(read(stream, &[1]), [Got::Failed(*error)], "{stream:x?}");
    }
    assert_eq!(FrameError::TooBig.close_code(), CloseCode::TOO_BIG);
    assert_eq!(FrameError::Masked.close_code(), CloseCode::PROTOCOL);
}

#[test]
fn a_bound_holds_over_all_fragments_together() {
    let mut stream = frame(0x01, &vec![b'x'; MAX - 10]);
    stream.extend(frame(0x00, &[b'y'; 10]));
    let mut fits = stream.clone();
    fits.extend(frame(0x80, b""));
    assert!(matches!(&read(&fits, &[1000])[..], [Got::Text(text)] if text.len() == MAX));
    stream.extend(frame(0x80, b"z"));
    assert_eq!(read(&stream, &[1000]), [Got::Failed(FrameError::TooBig)]);
}

#[test]
fn what_is_not_whole_waits() {
    let stream = frame(0x81, &[b'x'; 300]);
    for len in 0..stream.len() {
        assert_eq!(read(&stream[..len], &[usize::MAX]), [], "{len} bytes");
    }
}

#[test]
fn room_remains_when_the_largest_message_is_in_pieces() {
    let mut stream = Vec::new();
    for _ in 0..4 {
        stream.extend(frame(0x01, b""));
        for _ in 0..MAX / 1000 {
            stream.extend(frame(0x00, &[b'x'; 1000]));
            stream.extend(frame(0x89, &[b'p'; 125]));
        }
        stream.extend(frame(0x80, b""));
    }
    let texts = read(&stream, &[1, 16_384, 900])
        .into_iter()
        .filter(|got| matches!(got, Got::Text(text) if text.len() == MAX))
        .count();
    assert_eq!(texts, 4);
}

/// What a server may send: whole and fragmented messages, and control frames anywhere.
fn valid_stream() -> impl Strategy<Value = Vec<u8>> {
    let control = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..=125).prop_map(|bytes| frame(0x89, &bytes)),
        proptest::collection::vec(any::<u8>(), 0..=125).prop_map(|bytes| frame(0x8a, &bytes)),
    ];
    let fragment = (
        prop_oneof![4 => 0usize..200, 1 => 200usize..20_000],
        proptest::option::weighted(0.3, control.clone()),
    );
    let message =
        (any::<bool>(), proptest::collection::vec(fragment, 1..4)).prop_map(|(text, fragments)| {
            let mut stream = Vec::new();
            let last = fragments.len() - 1;
            for (at, (len, control)) in fragments.into_iter().enumerate() {
                let code = match (at, text) {
                    (0, true) => 0x1,
                    (0, false) => 0x2,
                    _ => 0x0,
                };
                let fin = if at == last { 0x80 } else { 0 };
                let payload: Vec<u8> = (0..len).map(|byte| b' ' + (byte % 90) as u8).collect();
                stream.extend(frame(fin | code, &payload));
                stream.extend(control.unwrap_or_default());
            }
            stream
        });
    let close = prop_oneof![
        Just(Vec::new()),
        Just(frame(0x88, b"")),
        Just(frame(0x88, b"\x03\xe9going")),
    ];
    (
        proptest::collection::vec(prop_oneof![3 => message, 1 => control], 0..12),
        close,
    )
        .prop_map(|(parts, close)| [parts.concat(), close].concat())
}

/// A stream that a test wrote beforehand; what is written to it is kept.
struct Canned {
    input: io::Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Canned {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.input.read(to)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Canned {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.output.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_by_tungstenite(stream: &[u8], role: Role) -> Vec<Got> {
    let canned = Canned {
        input: io::Cursor::new(stream.to_vec()),
        output: Vec::new(),
    };
    let mut socket = WebSocket::from_raw_socket(canned, role, None);
    let mut got = Vec::new();
    while let Ok(message) = socket.read() {
        got.push(match message {
            Message::Text(text) => Got::Text(text.as_bytes().to_vec()),
            Message::Binary(bytes) => Got::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Got::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Got::Pong(bytes.to_vec()),
            Message::Close(reason) => Got::Close(reason.map(|reason| reason.code.into())),
            Message::Frame(_) => unreachable!("read yields messages"),
        });
    }
    got
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tungstenite_reads_the_same(stream in valid_stream()) {
        prop_assert_eq!(read(&stream, &[usize::MAX]), read_by_tungstenite(&stream, Role::Client));
    }

    #[test]
    fn chunking_changes_nothing(
        stream in valid_stream(),
        pieces in proptest::collection::vec(prop_oneof![1usize..9, 100usize..40_000], 1..6),
    ) {
        prop_assert_eq!(read(&stream, &pieces), read(&stream, &[usize::MAX]));
    }

    #[test]
    fn tungstenite_reads_what_the_writer_wrote(
        lengths in proptest::collection::vec(prop_oneof![0usize..300, 65_000usize..66_000], 1..8),
        seed: u64,
        took in 1usize..5_000,
    ) {
        let mut writer = Writer::new(1 << 20, seed);
        let mut expected = Vec::new();
        let mut sent = Vec::new();
        for (at, len) in lengths.iter().enumerate() {
            let message: Vec<u8> = (0..*len).map(|byte| b' ' + (byte % 90) as u8).collect();
            writer.text(&message).expect("room");
            expected.push(Got::Text(message));
            let ping = &[at as u8; 125][..len % 126];
            writer.pong(ping).expect("room");
            expected.push(Got::Pong(ping.to_vec()));
            // A partial write in the middle of everything.
            let len = took.min(writer.pending().len());
            sent.extend(&writer.pending()[..len]);
            writer.consumed(len);
        }
        writer.close(Some(CloseCode::NORMAL)).expect("room");
        expected.push(Got::Close(Some(1000)));
        sent.extend(writer.pending());
        writer.consumed(writer.pending().len());
        prop_assert!(writer.pending().is_empty());
        prop_assert_eq!(read_by_tungstenite(&sent, Role::Server), expected);
    }
}

#[test]
fn ten_thousand_damaged_streams_do_not_panic() {
    let mut state = 0x5eed_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut clean = Vec::new();
    for first in [0x81, 0x82, 0x01, 0x00, 0x89, 0x80, 0x8a, 0x81, 0x88] {
        let len = [0, 1, 2, 60, 125, 126, 200, 1_000][random(8)];
        let len = if first >= 0x88 { len.min(125) } else { len };
        clean.extend(frame(first, &vec![b'7'; len]));
    }
    let mut failed = 0;
    for _ in 0..10_000 {
        let mut stream = clean.clone();
        for _ in 0..=random(4) {
            let at = random(stream.len());
            match random(4) {
                0 => stream[at] ^= 1 << random(8),
                1 => stream[at] = random(256) as u8,
                2 => drop(stream.drain(at..(at + random(20)).min(stream.len() - 1))),
                _ => stream.insert(at, random(256) as u8),
            }
        }
        let got = read(&stream, &[1 + random(300)]);
        failed += usize::from(matches!(got.last(), Some(Got::Failed(_))));
    }
    assert!(failed > 1_000, "the damage reaches the checks: {failed}");
}

#[test]
fn a_full_send_buffer_still_takes_pongs_and_a_close() {
    let mut writer = Writer::new(100, 1);
    assert_eq!(writer.text(&[b'x'; 95]), Err(SendBufferFull));
    writer.text(&[b'x'; 94]).expect("room");
    assert_eq!(writer.text(b""), Err(SendBufferFull));
    for _ in 0..8 {
        writer.pong(&[b'p'; 125]).expect("the reserve");
    }
    writer.close(Some(CloseCode::NORMAL)).expect("the reserve");
    assert_eq!(writer.pong(&[b'p'; 125]), Err(SendBufferFull));

    // What went makes room again, wherever it lay in the buffer.
    writer.consumed(60);
    assert_eq!(writer.text(b""), Err(SendBufferFull));
    writer.consumed(writer.pending().len() - 40);
    writer.text(&[b'x'; 54]).expect("room");
}

#[test]
fn close_codes_that_must_not_be_sent() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(CloseCode::new(code), None, "{code}");
    }
    for code in [1000, 1001, 1003, 1007, 1008, 1014, 3000, 4999] {
        assert_eq!(CloseCode::new(code).map(CloseCode::get), Some(code));
    }
}
