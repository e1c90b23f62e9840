//! The record layer against a peer made of the same keys, whose records say what the test wants.

use super::*;
use crate::limits::TLS_MESSAGE_BYTES_MAX;
use proptest::prelude::*;

const SUITES: [(Suite, usize); 3] = [
    (Suite::Aes128Gcm, 16),
    (Suite::Aes256Gcm, 32),
    (Suite::Chacha20Poly1305, 32),
];

const KEY_UPDATE_ONLY: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];
const KEY_UPDATE_ASKING: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 1];

/// The key of a direction's generation.
fn key(suite: usize, direction: u8, generation: u8) -> TrafficKey {
    let (suite, bytes) = SUITES[suite];
    let byte = direction ^ generation;
    TrafficKey::new(
        suite,
        &vec![byte; bytes],
        [byte.wrapping_mul(3); IV_BYTES],
        0,
    )
    .expect("a key")
}

const TO_CLIENT: u8 = 0x40;
const TO_SERVER: u8 = 0x80;

/// Keys by generation; every ticket but `bad` is one.
struct Generations {
    suite: usize,
    rx: u8,
    tx: u8,
    tickets: Vec<Vec<u8>>,
}

impl KeySource for Generations {
    fn next_rx(&mut self) -> Result<TrafficKey, RecordFault> {
        self.rx += 1;
        Ok(key(self.suite, TO_CLIENT, self.rx))
    }

    fn next_tx(&mut self) -> Result<TrafficKey, RecordFault> {
        self.tx += 1;
        Ok(key(self.suite, TO_SERVER, self.tx))
    }

    fn ticket(&mut self, body: &[u8]) -> Result<(), RecordFault> {
        if body == b"bad" {
            return Err(RecordFault::Ticket);
        }
        self.tickets.push(body.to_vec());
        Ok(())
    }
}

/// The server's side, without rules.
struct Peer {
    suite: usize,
    tx: TrafficKey,
    tx_generation: u8,
    rx: TrafficKey,
}

impl Peer {
    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        self.padded(kind, content, 0)
    }

    fn padded(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let mut inner = content.to_vec();
        inner.push(kind);
        inner.resize(inner.len() + padding, 0);
        let last = inner.pop().expect("the type at least");
        let bytes = inner.len() + RECORD_OVERHEAD;
        let [high, low] = ((bytes - HEADER_BYTES) as u16).to_be_bytes();
        let header = [23, 3, 3, high, low];
        let mut record = vec![0; bytes];
        record[..HEADER_BYTES].copy_from_slice(&header);
        let body = &mut record[HEADER_BYTES..];
        self.tx.seal(header, &inner, last, body).expect("a number");
        record
    }

    fn renew(&mut self) {
        self.tx_generation += 1;
        self.tx = key(self.suite, TO_CLIENT, self.tx_generation);
    }

    /// Type and content of the one record that `bytes` are.
    fn read(&mut self, bytes: &[u8]) -> (u8, Vec<u8>) {
        let (record, rest) = self.read_first(bytes);
        assert!(rest.is_empty(), "one record");
        record
    }

    fn read_first<'b>(&mut self, bytes: &'b [u8]) -> ((u8, Vec<u8>), &'b [u8]) {
        let header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().expect("a header");
        assert_eq!(header[..3], [23, 3, 3]);
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let (body, rest) = bytes[HEADER_BYTES..].split_at(len);
        let mut body = body.to_vec();
        let inner = self.rx.open(header, &mut body).expect("the right key");
        let (kind, content) = inner.split_last().expect("a type");
        ((*kind, content.to_vec()), rest)
    }
}

type Layer = RecordLayer<Generations>;

fn pair(suite: usize, records_per_key: u64) -> (Layer, Peer) {
    let source = Generations {
        suite,
        rx: 0,
        tx: 0,
        tickets: Vec::new(),
    };
    let [rx, their_tx] = [(); 2].map(|()| key(suite, TO_CLIENT, 0));
    let [tx, their_rx] = [(); 2].map(|()| key(suite, TO_SERVER, 0));
    let peer = Peer {
        suite,
        tx: their_tx,
        tx_generation: 0,
        rx: their_rx,
    };
    (RecordLayer::new(rx, tx, records_per_key, source), peer)
}

/// Opens the one record in `bytes`; its plaintext, which is empty for records without.
fn open(layer: &mut Layer, mut bytes: Vec<u8>) -> Result<Vec<u8>, RecordFault> {
    let whole = bytes.len();
    match layer.open(&mut bytes)? {
        Opened::Data { bytes: len, data } => {
            assert_eq!(len, whole);
            Ok(bytes[data].to_vec())
        }
        Opened::Control { bytes } => {
            assert_eq!(bytes, whole);
            Ok(Vec::new())
        }
        other => panic!("{other:?} for a whole record"),
    }
}

fn seal(layer: &mut Layer, plaintext: &[u8]) -> Vec<u8> {
    let mut room = vec![0; plaintext.len() + 100];
    let sealed = layer.seal(plaintext, &mut room).expect("a number");
    assert_eq!(sealed.taken, plaintext.len());
    room.truncate(sealed.written);
    room
}

/// A message of the handshake.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes[0] = kind;
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn what_one_side_seals_the_other_opens() {
    for suite in 0..SUITES.len() {
        let (mut layer, mut peer) = pair(suite, 1 << 20);
        for round in 0..300_usize {
            let text = vec![round as u8; round * 53 % 2_000 + 1];
            let record = peer.record(APPLICATION_DATA, &text);
            assert_eq!(open(&mut layer, record), Ok(text.clone()));
            let sealed = seal(&mut layer, &text);
            assert_eq!(sealed.len(), text.len() + RECORD_OVERHEAD);
            assert_eq!(peer.read(&sealed), (APPLICATION_DATA, text));
        }
    }
    let wrong = TrafficKey::new(Suite::Aes128Gcm, &[0; 32], [0; IV_BYTES], 0);
    assert_eq!(wrong.err(), Some(RecordFault::Keys));
}

#[test]
fn a_part_of_a_record_is_no_record() {
    let (mut layer, mut peer) = pair(0, 1 << 20);
    let mut bytes = peer.record(APPLICATION_DATA, b"whole");
    bytes.extend(peer.record(APPLICATION_DATA, b"next"));
    for len in 0..5 + RECORD_OVERHEAD {
        assert_eq!(layer.open(&mut bytes[..len]), Ok(Opened::Partial), "{len}");
    }
    for text in [&b"whole"[..], b"next"] {
        let Ok(Opened::Data { bytes: len, data }) = layer.open(&mut bytes) else {
            panic!("both are whole");
        };
        assert_eq!(&bytes[data], text);
        bytes.drain(..len);
    }
    assert_eq!(layer.open(&mut bytes), Ok(Opened::Partial));
}

#[test]
fn plaintext_is_taken_as_far_as_one_record_and_the_room_go() {
    let (mut layer, mut peer) = pair(0, 1 << 20);
    let text = vec![7; PLAINTEXT_BYTES_MAX + 1];
    let mut room = vec![0; PLAINTEXT_BYTES_MAX + RECORD_OVERHEAD + 50];
    let sealed = layer.seal(&text, &mut room).expect("a number");
    assert_eq!(sealed.taken, PLAINTEXT_BYTES_MAX);
    assert_eq!(
        peer.read(&room[..sealed.written]).1,
        text[..PLAINTEXT_BYTES_MAX]
    );
    for room in 0..=RECORD_OVERHEAD {
        assert_eq!(
            layer.seal(b"abc", &mut vec![0; room]),
            Ok(Sealed::default())
        );
    }
    let mut room = [0; RECORD_OVERHEAD + 2];
    let sealed = layer.seal(b"abc", &mut room).expect("a number");
    assert_eq!(sealed.taken, 2);
    assert_eq!(peer.read(&room), (APPLICATION_DATA, b"ab".to_vec()));
    assert_eq!(layer.seal(b"", &mut room), Ok(Sealed::default()));
}

#[test]
fn padding_is_taken_off() {
    let (mut layer, mut peer) = pair(0, 1 << 20);
    for padding in [0, 1, 2, 15, 16, 255, 4_000] {
        let record = peer.padded(APPLICATION_DATA, b"zeros \0\0", padding);
        assert_eq!(open(&mut layer, record), Ok(b"zeros \0\0".to_vec()));
        let record = peer.padded(APPLICATION_DATA, b"", padding);
        assert_eq!(open(&mut layer, record), Ok(Vec::new()));
    }
    // The longest that is allowed, and one more.
    let record = peer.padded(APPLICATION_DATA, b"x", PLAINTEXT_BYTES_MAX - 1);
    assert_eq!(open(&mut layer, record), Ok(b"x".to_vec()));
    let record = peer.record(APPLICATION_DATA, &[b'x'; PLAINTEXT_BYTES_MAX]);
    assert_eq!(
        open(&mut layer, record),
        Ok(vec![b'x'; PLAINTEXT_BYTES_MAX])
    );
    for (content, padding) in [(1, PLAINTEXT_BYTES_MAX), (PLAINTEXT_BYTES_MAX + 1, 0)] {
        let (mut layer, mut peer) = pair(0, 1 << 20);
        let record = peer.padded(APPLICATION_DATA, &vec![b'x'; content], padding);
        assert_eq!(open(&mut layer, record), Err(RecordFault::TooLong));
    }
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let (_, mut peer) = pair(0, 1 << 20);
    let record = peer.padded(APPLICATION_DATA, b"nineteen characters", 3);
    for position in 0..record.len() {
        for change in [1, 0x80] {
            let (mut layer, _) = pair(0, 1 << 20);
            let mut changed = record.clone();
            changed[position] ^= change;
            let got = layer.open(&mut changed);
            match position {
                0 => assert_eq!(got, Err(RecordFault::Unprotected(record[0] ^ change))),
                1 | 2 => assert!(matches!(got, Err(RecordFault::Version(_))), "{got:?}"),
                3 if change == 0x80 => assert_eq!(got, Err(RecordFault::TooLong)),
                // A longer one is waited for, a shorter one has another tag.
                3 | 4 if changed[3..5] > record[3..5] => assert_eq!(got, Ok(Opened::Partial)),
                _ => assert_eq!(got, Err(RecordFault::BadMac), "byte {position}"),
            }
        }
    }
}

#[test]
fn a_record_that_is_not_the_next_one_is_found() {
    let first_two = || {
        let (layer, mut peer) = pair(0, 1 << 20);
        let records = [b"1", b"2"].map(|text| peer.record(APPLICATION_DATA, text));
        (layer, records)
    };
    let (mut layer, [first, _]) = first_two();
    assert_eq!(open(&mut layer, first.clone()), Ok(b"1".to_vec()));
    assert_eq!(open(&mut layer, first), Err(RecordFault::BadMac), "again");
    let (mut layer, [_, second]) = first_two();
    assert_eq!(open(&mut layer, second), Err(RecordFault::BadMac), "lost");
    // Sealed by us, and sent back.
    let (mut layer, _) = first_two();
    let own = seal(&mut layer, b"mirror");
    assert_eq!(open(&mut layer, own), Err(RecordFault::BadMac));
    // Too short for a tag.
    for len in 0..TAG_BYTES {
        let (mut layer, _) = first_two();
        let mut short = vec![23, 3, 3, 0, len as u8];
        short.resize(HEADER_BYTES + len, 0);
        assert_eq!(open(&mut layer, short), Err(RecordFault::BadMac));
    }
}

/// Type and content of protected records, what the last of them is, and the alert for it.
type Case<'c> = (&'c [(u8, &'c [u8])], RecordFault, Option<u8>);

#[test]
fn what_is_not_allowed_is_named_and_the_peer_told() {
    let too_big = message(NEW_SESSION_TICKET, &[0; TLS_MESSAGE_BYTES_MAX]);
    let key_update_and = [&KEY_UPDATE_ONLY[..], &[4]].concat();
    let cases: &[Case<'_>] = &[
        (&[(0, b"")], RecordFault::NoContentType, Some(10)),
        (&[(0, &[0; 40])], RecordFault::NoContentType, Some(10)),
        (&[(20, &[1])], RecordFault::ContentType(20), Some(10)),
        (
            &[(24, b"heartbeat")],
            RecordFault::ContentType(24),
            Some(10),
        ),
        (&[(HANDSHAKE, b"")], RecordFault::EmptyMessage, Some(10)),
        (
            &[(HANDSHAKE, &message(0, b""))],
            RecordFault::Message(0),
            Some(10),
        ),
        (
            &[(HANDSHAKE, &message(13, b"request"))],
            RecordFault::Message(13),
            Some(10),
        ),
        (
            &[(HANDSHAKE, &message(20, &[0; 32]))],
            RecordFault::Message(20),
            Some(10),
        ),
        (
            &[(HANDSHAKE, &message(4, b"bad"))],
            RecordFault::Ticket,
            Some(50),
        ),
        (
            &[(HANDSHAKE, &too_big[..100])],
            RecordFault::MessageTooBig,
            Some(50),
        ),
        (
            &[(HANDSHAKE, &too_big[..2]), (HANDSHAKE, &too_big[2..4])],
            RecordFault::MessageTooBig,
            Some(50),
        ),
        (
            &[(HANDSHAKE, &message(24, b""))],
            RecordFault::KeyUpdateBytes(0),
            Some(50),
        ),
        (
            &[(HANDSHAKE, &message(24, &[0, 0]))],
            RecordFault::KeyUpdateBytes(2),
            Some(50),
        ),
        (
            &[(HANDSHAKE, &message(24, &[2]))],
            RecordFault::KeyUpdateRequest(2),
            Some(47),
        ),
        (
            &[(HANDSHAKE, &key_update_and)],
            RecordFault::KeyUpdateUnaligned,
            Some(10),
        ),
        (
            &[
                (HANDSHAKE, &KEY_UPDATE_ONLY[..3]),
                (HANDSHAKE, &key_update_and[3..]),
            ],
            RecordFault::KeyUpdateUnaligned,
            Some(10),
        ),
        (
            &[(HANDSHAKE, &KEY_UPDATE_ONLY[..3]), (APPLICATION_DATA, b"x")],
            RecordFault::Interleaved,
            Some(10),
        ),
        (
            &[(HANDSHAKE, &KEY_UPDATE_ONLY[..3]), (APPLICATION_DATA, b"")],
            RecordFault::Interleaved,
            Some(10),
        ),
        (
            &[(HANDSHAKE, &KEY_UPDATE_ONLY[..3]), (ALERT, &[1, 90])],
            RecordFault::Interleaved,
            Some(10),
        ),
        (&[(ALERT, b"")], RecordFault::EmptyMessage, Some(10)),
        (&[(ALERT, &[1])], RecordFault::AlertBytes(1), Some(50)),
        (
            &[(ALERT, &[1, 0, 1, 0])],
            RecordFault::AlertBytes(4),
            Some(50),
        ),
        (&[(ALERT, &[2, 40])], RecordFault::Alert(40), None),
        (&[(ALERT, &[1, 112])], RecordFault::Alert(112), None),
        (&[(ALERT, &[0, 255])], RecordFault::Alert(255), None),
    ];
    for (records, fault, alert) in cases {
        let (mut layer, mut peer) = pair(0, 1 << 20);
        let (last, before) = records.split_last().expect("one at least");
        for (kind, content) in before {
            let record = peer.record(*kind, content);
            assert_eq!(open(&mut layer, record), Ok(Vec::new()), "{fault}");
        }
        let record = peer.record(last.0, last.1);
        assert_eq!(open(&mut layer, record), Err(*fault));
        assert_eq!(fault.alert(), *alert, "{fault}");
        // The alert is our last word.
        let mut room = [0; 100];
        let written = layer.alert(*fault, &mut room);
        if let Some(description) = alert {
            assert_eq!(
                peer.read(&room[..written]),
                (ALERT, vec![FATAL, *description])
            );
        } else {
            assert_eq!(written, 0);
        }
        assert_eq!(layer.seal(b"more", &mut room), Ok(Sealed::default()));
        assert_eq!(layer.close(&mut room), 0);
    }
}

#[test]
fn headers_of_other_records_are_named_before_the_rest_comes() {
    let cases = [
        ([20, 3, 3, 0, 1], RecordFault::Unprotected(20), 10),
        ([21, 3, 3, 0, 2], RecordFault::Unprotected(21), 10),
        ([22, 3, 3, 0, 50], RecordFault::Unprotected(22), 10),
        (*b"HTTP/", RecordFault::Unprotected(b'H'), 10),
        ([23, 3, 1, 0, 50], RecordFault::Version(0x0301), 70),
        ([23, 3, 4, 0, 50], RecordFault::Version(0x0304), 70),
        ([23, 3, 3, 0x41, 0x01], RecordFault::TooLong, 22),
        ([23, 3, 3, 0xFF, 0xFF], RecordFault::TooLong, 22),
    ];
    for (mut header, fault, alert) in cases {
        let (mut layer, _) = pair(0, 1 << 20);
        assert_eq!(layer.open(&mut header), Err(fault));
        assert_eq!(fault.alert(), Some(alert));
    }
    let (mut layer, _) = pair(0, 1 << 20);
    assert_eq!(
        layer.open(&mut [23, 3, 3, 0x41, 0x00]),
        Ok(Opened::Partial),
        "the longest"
    );
    assert_eq!(RecordFault::BadMac.alert(), Some(20));
    assert_eq!(RecordFault::Keys.alert(), Some(80));
    assert_eq!(RecordFault::SequenceExhausted.alert(), Some(80));
}

#[test]
fn the_peers_new_key_is_in_force_from_the_next_record_on() {
    for suite in 0..SUITES.len() {
        let (mut layer, mut peer) = pair(suite, 1 << 20);
        let mut room = [0; 100];
        for round in 0..3_u8 {
            let record = peer.record(HANDSHAKE, &KEY_UPDATE_ONLY);
            assert_eq!(open(&mut layer, record), Ok(Vec::new()));
            peer.renew();
            assert_eq!(layer.answer(&mut room), Ok(0), "it did not ask");
            let record = peer.record(APPLICATION_DATA, &[round; 5]);
            assert_eq!(open(&mut layer, record), Ok(vec![round; 5]));
            let sealed = seal(&mut layer, b"still the first key");
            assert_eq!(peer.read(&sealed).0, APPLICATION_DATA);
        }
        // Under the old key after the update: not the next record.
        let record = peer.record(HANDSHAKE, &KEY_UPDATE_ONLY);
        open(&mut layer, record).expect("allowed");
        let record = peer.record(APPLICATION_DATA, b"old key");
        assert_eq!(open(&mut layer, record), Err(RecordFault::BadMac));
    }
}

#[test]
fn who_asks_for_our_key_gets_one_answer_before_anything_else() {
    for answers_at_once in [true, false] {
        let (mut layer, mut peer) = pair(0, 1 << 20);
        // Three requests before we answer, in and over record boundaries.
        let record = peer.record(HANDSHAKE, &KEY_UPDATE_ASKING);
        open(&mut layer, record).expect("allowed");
        peer.renew();
        for part in [&KEY_UPDATE_ASKING[..1], &KEY_UPDATE_ASKING[1..]] {
            let record = peer.record(HANDSHAKE, part);
            open(&mut layer, record).expect("allowed");
        }
        peer.renew();
        let ticket = message(NEW_SESSION_TICKET, b"ticket");
        let record = peer.record(HANDSHAKE, &[&ticket[..], &KEY_UPDATE_ASKING].concat());
        open(&mut layer, record).expect("allowed");
        peer.renew();
        assert_eq!(layer.source.tickets, [b"ticket"]);

        let mut room = [0; 200];
        assert_eq!(layer.answer(&mut room[..RECORD_OVERHEAD + 4]), Ok(0));
        assert_eq!(
            layer.seal(b"x", &mut room[..RECORD_OVERHEAD + 4]),
            Ok(Sealed::default()),
            "no room for what comes first"
        );
        let written = if answers_at_once {
            let written = layer.answer(&mut room).expect("a key");
            assert_eq!(layer.answer(&mut room[written..]), Ok(0), "once");
            let sealed = layer.seal(b"data", &mut room[written..]).expect("a number");
            written + sealed.written
        } else {
            let sealed = layer.seal(b"data", &mut room).expect("a number");
            assert_eq!(sealed.taken, 4);
            sealed.written
        };
        let (update, rest) = peer.read_first(&room[..written]);
        assert_eq!(update, (HANDSHAKE, KEY_UPDATE_ONLY.to_vec()));
        peer.rx = key(0, TO_SERVER, 1);
        assert_eq!(peer.read(rest), (APPLICATION_DATA, b"data".to_vec()));
        // And their key is the third.
        let record = peer.record(APPLICATION_DATA, b"in");
        assert_eq!(open(&mut layer, record), Ok(b"in".to_vec()));
    }
}

#[test]
fn our_key_is_renewed_before_its_cipher_had_enough() {
    const RECORDS_PER_KEY: u64 = 4;
    let (mut layer, mut peer) = pair(0, RECORDS_PER_KEY);
    let mut under_this_key = 0;
    let mut generation = 0;
    let mut asked = 0;
    for round in 0..20_u8 {
        let sealed = seal(&mut layer, &[round; 9]);
        let (record, rest) = peer.read_first(&sealed);
        under_this_key += 1;
        assert!(under_this_key <= RECORDS_PER_KEY);
        if rest.is_empty() {
            assert_eq!(record, (APPLICATION_DATA, vec![round; 9]));
            continue;
        }
        // It asks for the peer's key too, but not again before that came.
        if generation == 0 || asked == generation {
            assert_eq!(record, (HANDSHAKE, KEY_UPDATE_ASKING.to_vec()));
        } else {
            assert_eq!(record, (HANDSHAKE, KEY_UPDATE_ONLY.to_vec()));
        }
        generation += 1;
        peer.rx = key(0, TO_SERVER, generation);
        assert_eq!(peer.read(rest), (APPLICATION_DATA, vec![round; 9]));
        under_this_key = 1;
        if generation == 3 {
            let record = peer.record(HANDSHAKE, &KEY_UPDATE_ONLY);
            open(&mut layer, record).expect("their answer");
            asked = generation;
        }
    }
    assert_eq!(generation, 6, "three of data and the update under each key");

    // A key of which all numbers are used.
    let (suite, bytes) = SUITES[0];
    let mut last =
        TrafficKey::new(suite, &vec![1; bytes], [0; IV_BYTES], u64::MAX - 1).expect("a key");
    let mut body = [0; 1 + TAG_BYTES];
    assert_eq!(last.seal([0; 5], b"", 23, &mut body), Ok(()));
    assert_eq!(
        last.seal([0; 5], b"", 23, &mut body),
        Err(RecordFault::SequenceExhausted)
    );
    assert_eq!(
        last.open([0; 5], &mut body).map(|_| ()),
        Err(RecordFault::SequenceExhausted)
    );
}

#[test]
fn messages_may_be_split_anywhere_and_share_records() {
    let bodies = [&b""[..], b"one", &[7; 700], b"four"];
    let stream: Vec<u8> = bodies
        .iter()
        .flat_map(|body| message(NEW_SESSION_TICKET, body))
        .collect();
    for split in 1..stream.len() {
        for second in [1, 5, stream.len()] {
            let (mut layer, mut peer) = pair(0, 1 << 20);
            let (first, rest) = stream.split_at(split);
            let (middle, last) = rest.split_at(second.min(rest.len()));
            for part in [first, middle, last] {
                if !part.is_empty() {
                    let record = peer.record(HANDSHAKE, part);
                    open(&mut layer, record).expect("allowed");
                }
            }
            assert_eq!(layer.source.tickets, bodies, "{split} {second}");
            assert!(!layer.messages.is_within_one());
        }
    }
    // The longest that is kept.
    let (mut layer, mut peer) = pair(0, 1 << 20);
    let long = message(NEW_SESSION_TICKET, &vec![1; TLS_MESSAGE_BYTES_MAX - 4]);
    for part in long.chunks(10_000) {
        let record = peer.record(HANDSHAKE, part);
        open(&mut layer, record).expect("allowed");
    }
    assert_eq!(layer.source.tickets.len(), 1);
}

#[test]
fn a_peer_that_only_makes_work_is_given_up() {
    for kind in [APPLICATION_DATA, HANDSHAKE, ALERT] {
        let (mut layer, mut peer) = pair(0, 1 << 20);
        let mut say = |layer: &mut Layer| {
            let content = match kind {
                HANDSHAKE => &KEY_UPDATE_ASKING[..],
                ALERT => &[WARNING, USER_CANCELED],
                _ => b"",
            };
            let record = peer.record(kind, content);
            if kind == HANDSHAKE {
                peer.renew();
            }
            open(layer, record)
        };
        for _ in 0..TLS_RECORDS_WITHOUT_DATA_MAX {
            assert_eq!(say(&mut layer), Ok(Vec::new()));
        }
        assert_eq!(say(&mut layer), Err(RecordFault::NoData));
        assert_eq!(RecordFault::NoData.alert(), Some(10));
    }
    // Data in between shows that there is a purpose.
    let (mut layer, mut peer) = pair(0, 1 << 20);
    for round in 0..3 * TLS_RECORDS_WITHOUT_DATA_MAX {
        let content = if round % 10 == 0 { &b"x"[..] } else { b"" };
        let record = peer.record(APPLICATION_DATA, content);
        assert_eq!(open(&mut layer, record), Ok(content.to_vec()));
    }
}

#[test]
fn goodbyes_end_their_direction_only() {
    let (mut layer, mut peer) = pair(0, 1 << 20);
    let mut bytes = peer.record(ALERT, &[WARNING, CLOSE_NOTIFY]);
    bytes.extend(peer.record(APPLICATION_DATA, b"too late"));
    bytes.extend(b"no record at all");
    assert_eq!(layer.open(&mut bytes), Ok(Opened::Closed));
    assert_eq!(layer.open(&mut bytes), Ok(Opened::Closed));
    let sealed = seal(&mut layer, b"our half");
    assert_eq!(peer.read(&sealed), (APPLICATION_DATA, b"our half".to_vec()));

    let (mut layer, mut peer) = pair(0, 1 << 20);
    let record = peer.record(HANDSHAKE, &KEY_UPDATE_ASKING);
    open(&mut layer, record).expect("allowed");
    let mut room = [0; 100];
    let written = layer.close(&mut room);
    assert_eq!(
        peer.read(&room[..written]),
        (ALERT, vec![WARNING, CLOSE_NOTIFY])
    );
    assert_eq!(layer.close(&mut room), 0, "once");
    assert_eq!(layer.answer(&mut room), Ok(0), "nothing follows it");
    assert_eq!(layer.seal(b"more", &mut room), Ok(Sealed::default()));
    peer.renew();
    let record = peer.record(APPLICATION_DATA, b"their half");
    assert_eq!(open(&mut layer, record), Ok(b"their half".to_vec()));

    let (mut layer, _) = pair(0, 1 << 20);
    assert_eq!(layer.close(&mut room[..=RECORD_OVERHEAD]), 0, "no room");
}

/// What a server may say.
#[derive(Clone, Debug)]
enum Said {
    Data(Vec<u8>, usize),
    Ticket(Vec<u8>, usize),
    NewKey(bool),
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
    prop_oneof![
        4 => (bytes(3_000), 0..50_usize).prop_map(|(text, padding)| Said::Data(text, padding)),
        1 => (bytes(400), 12..100_usize).prop_map(|(body, part)| Said::Ticket(body, part)),
        1 => any::<bool>().prop_map(Said::NewKey),
    ]
}

proptest! {
    #[test]
    fn any_stream_in_any_pieces_arrives(
        suite in 0..SUITES.len(),
        stream in proptest::collection::vec(said(), 0..20),
        pieces in proptest::collection::vec(1..4_000_usize, 1..50),
    ) {
        let (mut layer, mut peer) = pair(suite, 1 << 20);
        let mut wire = Vec::new();
        let mut texts = Vec::new();
        let mut tickets = Vec::new();
        let mut asked = false;
        for said in stream {
            match said {
                Said::Data(text, padding) => {
                    wire.extend(peer.padded(APPLICATION_DATA, &text, padding));
                    texts.extend(text);
                }
                Said::Ticket(body, part) => {
                    for part in message(NEW_SESSION_TICKET, &body).chunks(part) {
                        wire.extend(peer.record(HANDSHAKE, part));
                    }
                    // Data, or a long row of tickets would be taken for an attack.
                    wire.extend(peer.record(APPLICATION_DATA, b"."));
                    texts.push(b'.');
                    if body != b"bad" {
                        tickets.push(body);
                    }
                }
                Said::NewKey(asks) => {
                    wire.extend(peer.record(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, u8::from(asks)]));
                    peer.renew();
                    asked |= asks;
                }
            }
        }
        let mut received = Vec::new();
        let mut got = Vec::new();
        let mut rest = &wire[..];
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            received.extend_from_slice(now);
            rest = later;
            loop {
                match layer.open(&mut received) {
                    Ok(Opened::Partial) => break,
                    Ok(Opened::Data { bytes, data }) => {
                        got.extend_from_slice(&received[data]);
                        received.drain(..bytes);
                    }
                    Ok(Opened::Control { bytes }) => drop(received.drain(..bytes)),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(received.is_empty());
        prop_assert_eq!(got, texts);
        prop_assert_eq!(&layer.source.tickets, &tickets);
        prop_assert_eq!(layer.owes_update, asked);
    }

    #[test]
    fn garbage_is_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), protected: bool) {
        let (mut layer, _) = pair(0, 1 << 20);
        if protected && bytes.len() >= HEADER_BYTES {
            bytes[..4].copy_from_slice(&[23, 3, 3, 0]);
        }
        let opened = layer.open(&mut bytes);
        prop_assert!(matches!(opened, Ok(Opened::Partial) | Err(_)), "{:?}", opened);
    }
}
