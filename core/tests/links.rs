//! A link against real servers over loopback TCP: every way a connection comes up, carries messages
//! and ends. No sleeping: tests wait on bytes.

#[path = "support/server.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod server;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::ServerConnection;
use server::{Pki, Tls, accept_tls, answer_to, frame, read_frame, read_request, read_to_end};
use server::{serve, serve_websocket};
use veloz_core::edge::clock::Clock;
use veloz_core::edge::connector::{
    ConnectFault, ConnectorConfig, ConnectorShared, Conversation, Endpoint, FromConnector,
    RequestError, ToConnector, WALL_UNKNOWN, connect_link, request_once, rings, spawn,
};
use veloz_core::edge::link::{Link, Polled};
use veloz_core::edge::tls::{Progress, TlsSession, TrustError, client_config, config_of_roots};
use veloz_core::engine::NoStopwatch;
use veloz_core::event::{LinkDown, LinkId, LinkRole};
use veloz_core::limits::{MESSAGE_BYTES_MAX, SEND_BUFFER_BYTES_MAX};
use veloz_core::units::Nanos;
use veloz_core::wire::websocket::CloseCode;

const LINK: LinkId = LinkId {
    role: LinkRole::Market,
    generation: 1,
};
/// Long enough that only a server that never answers reaches it.
const PATIENCE: Nanos = Nanos::from_secs(60);

fn endpoint(url: &str, pki: &Pki) -> Endpoint {
    Endpoint::new(url, &config_of_roots(pki.roots.clone())).expect("a good URL")
}

fn connect(url: &str, pki: &Pki) -> Result<Box<Link>, ConnectFault> {
    connect_link(&endpoint(url, pki), LINK, Clock::kernel(), PATIENCE)
}

fn connect_tls(port: u16, pki: &Pki) -> Box<Link> {
    connect(&format!("wss://localhost:{port}/ws"), pki).expect("a good server")
}

/// The next message, or the end.
fn next(link: &mut Link) -> Result<Vec<u8>, LinkDown> {
    loop {
        match link.poll(&NoStopwatch) {
            Polled::Message(frame) => return Ok(link.payload(frame).bytes().to_vec()),
            Polled::Down(cause) => return Err(cause),
            Polled::Dry => std::thread::yield_now(),
            Polled::Busy => {}
        }
    }
}

fn messages(link: &mut Link, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| next(link).expect("a message")).collect()
}

#[test]
fn what_follows_the_101_in_the_same_bytes_is_kept() {
    let pki = Pki::new();
    let texts: Vec<Vec<u8>> = (0..40u8).map(|n| vec![b'a' + n % 26; 200]).collect();
    let frames: Vec<u8> = texts.iter().flat_map(|text| frame(0x81, text)).collect();

    // In one TLS record with the 101, and a partial frame at its end.
    let (first, rest) = frames.split_at(5_000);
    let (first, rest) = (first.to_vec(), rest.to_vec());
    let config = Arc::new(pki.server(rustls::DEFAULT_VERSIONS));
    let (port, peer) = serve(move |stream| {
        let mut tls = accept_tls(stream, config);
        let mut bytes = answer_to(&read_request(&mut tls)).into_bytes();
        bytes.extend(first);
        tls.write_all(&bytes).expect("sent");
        tls.write_all(&rest).expect("sent");
        read_to_end(&mut tls);
    });
    let mut link = connect_tls(port, &pki);
    assert_eq!(messages(&mut link, texts.len()), texts);
    drop(link);
    peer.join().expect("no panic");

    // In TLS records of their own, but in the segment of the 101: still encrypted when it is read.
    let config = Arc::new(pki.server(rustls::DEFAULT_VERSIONS));
    let all = frames.clone();
    let (port, peer) = serve(move |stream| {
        let mut tls = accept_tls(stream, config);
        let answer = answer_to(&read_request(&mut tls));
        let mut segment = Vec::new();
        for part in [answer.as_bytes(), &all[..3_000], &all[3_000..]] {
            tls.conn.writer().write_all(part).expect("buffered");
            while tls.conn.wants_write() {
                tls.conn.write_tls(&mut segment).expect("in memory");
            }
        }
        tls.sock.write_all(&segment).expect("sent");
        read_to_end(&mut tls);
    });
    let mut link = connect_tls(port, &pki);
    assert_eq!(messages(&mut link, texts.len()), texts);
    drop(link);
    peer.join().expect("no panic");

    // Without TLS, in the segment of the 101.
    let (port, peer) = serve(move |mut stream| {
        let mut bytes = answer_to(&read_request(&mut stream)).into_bytes();
        bytes.extend(frames);
        stream.write_all(&bytes).expect("sent");
        read_to_end(&mut stream);
    });
    let mut link = connect(&format!("ws://127.0.0.1:{port}/"), &pki).expect("a good server");
    assert_eq!(messages(&mut link, texts.len()), texts);
    drop(link);
    peer.join().expect("no panic");
}

#[test]
fn a_certificate_that_does_not_verify_is_its_own_cause() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let config = Arc::new(theirs.server(rustls::DEFAULT_VERSIONS));
    let (port, peer) = serve(move |stream| {
        let mut tls = accept_tls(stream, config);
        tls.read(&mut [0])
            .expect_err("the client says why")
            .to_string()
    });
    let fault = connect(&format!("wss://localhost:{port}/"), &ours)
        .err()
        .expect("a stranger's CA");
    assert_eq!(fault.cause, LinkDown::Certificate, "{fault}");
    assert!(peer.join().expect("no panic").contains("alert"));

    // The right CA, another name.
    let config = Arc::new(ours.server(rustls::DEFAULT_VERSIONS));
    let (port, peer) = serve(move |stream| {
        let mut tls = accept_tls(stream, config);
        tls.read(&mut [0]).expect_err("the client goes");
    });
    let fault = connect(&format!("wss://127.0.0.1:{port}/"), &ours)
        .err()
        .expect("not the name in the certificate");
    assert_eq!(fault.cause, LinkDown::Certificate, "{fault}");
    peer.join().expect("no panic");
}

#[test]
fn each_step_that_fails_has_its_cause() {
    let pki = Pki::new();
    let fails = |url: &str| connect(url, &pki).err().expect("no server").cause;

    let unused = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = unused.local_addr().expect("bound").port();
    drop(unused);
    assert_eq!(fails(&format!("ws://127.0.0.1:{port}/")), LinkDown::Connect);
    // A label of 64 bytes: no resolver needs a network to refuse it.
    let nowhere = format!("ws://{}.example:1/", "x".repeat(64));
    assert_eq!(fails(&nowhere), LinkDown::Resolve);

    for (answer, status, pause_s) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            Some(200),
            None,
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\n\r\n{\"code\":-1003}",
            Some(429),
            None,
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 45\r\n\r\n",
            Some(429),
            Some(45),
        ),
        (
            "HTTP/1.1 418 I'm a teapot\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Retry-After: Sun, 06 Nov 1994 08:51:37 GMT\r\n\r\n",
            Some(418),
            Some(120),
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", None, None),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
            Some(101),
            None,
        ),
        ("", None, None),
    ] {
        let (port, peer) = serve(move |mut stream| {
            read_request(&mut stream);
            stream.write_all(answer.as_bytes()).expect("sent");
        });
        let fault = connect(&format!("ws://127.0.0.1:{port}/"), &pki)
            .err()
            .expect("no server");
        assert_eq!(
            (fault.cause, fault.status, fault.pause),
            (LinkDown::Upgrade, status, pause_s.map(Nanos::from_secs)),
            "{answer:?}"
        );
        peer.join().expect("no panic");
    }

    // An answer that promises what was not offered.
    let (port, peer) = serve(|mut stream| {
        let answer = answer_to(&read_request(&mut stream));
        let answer = answer.replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        );
        stream.write_all(answer.as_bytes()).expect("sent");
    });
    assert_eq!(fails(&format!("ws://127.0.0.1:{port}/")), LinkDown::Upgrade);
    peer.join().expect("no panic");

    // Something that is no TLS, and something that hangs up.
    for greeting in ["220 mail.example ESMTP\r\n", ""] {
        let (port, peer) = serve(move |mut stream| {
            stream.write_all(greeting.as_bytes()).expect("sent");
            if !greeting.is_empty() {
                read_to_end(&mut stream);
            }
        });
        assert_eq!(
            fails(&format!("wss://localhost:{port}/")),
            LinkDown::Tls,
            "{greeting:?}"
        );
        peer.join().expect("no panic");
    }
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let pki = Pki::new();
    for (scheme, cause) in [("ws", LinkDown::Upgrade), ("wss", LinkDown::Tls)] {
        let (port, peer) = serve(|mut stream| read_to_end(&mut stream));
        let fault = connect_link(
            &endpoint(&format!("{scheme}://localhost:{port}/"), &pki),
            LINK,
            Clock::kernel(),
            Nanos::from_ms(50),
        )
        .err()
        .expect("nobody answers");
        assert_eq!(fault.cause, cause, "{fault}");
        peer.join().expect("the client hung up");
    }
}

#[test]
fn segments_and_records_may_fall_anywhere() {
    let pki = Pki::new();
    let texts: Vec<Vec<u8>> = (0..30usize)
        .map(|n| vec![b'0' + (n % 10) as u8; n * 37])
        .collect();
    let frames: Vec<u8> = texts.iter().flat_map(|text| frame(0x81, text)).collect();
    for piece in [1, 2, 7, 300, 5_000, usize::MAX] {
        let frames = frames.clone();
        let (port, peer) = serve_websocket(&pki, move |mut tls| {
            for bytes in frames.chunks(piece.min(frames.len())) {
                tls.write_all(bytes).expect("sent");
            }
            read_to_end(&mut tls);
        });
        let mut link = connect_tls(port, &pki);
        assert_eq!(
            messages(&mut link, texts.len()),
            texts,
            "records of {piece}"
        );
        drop(link);
        peer.join().expect("no panic");

        // The same bytes of TLS in segments of this size.
        let frames = texts
            .iter()
            .flat_map(|text| frame(0x81, text))
            .collect::<Vec<u8>>();
        let (port, peer) = serve_websocket(&pki, move |mut tls| {
            let mut wire = Vec::new();
            for bytes in frames.chunks(1_000) {
                tls.conn.writer().write_all(bytes).expect("buffered");
                while tls.conn.wants_write() {
                    tls.conn.write_tls(&mut wire).expect("in memory");
                }
            }
            for segment in wire.chunks(piece.min(wire.len())) {
                tls.sock.write_all(segment).expect("sent");
            }
            read_to_end(&mut tls);
        });
        let mut link = connect_tls(port, &pki);
        assert_eq!(
            messages(&mut link, texts.len()),
            texts,
            "segments of {piece}"
        );
        drop(link);
        peer.join().expect("no panic");
    }
}

#[test]
fn a_ping_between_fragments_is_answered_with_its_own_bytes() {
    let pki = Pki::new();
    let ping: Vec<u8> = (0..=124).map(|n: u8| n.wrapping_mul(37)).collect();
    let sent = ping.clone();
    let (port, peer) = serve_websocket(&pki, move |mut tls| {
        tls.write_all(&frame(0x01, b"{\"half\":")).expect("sent");
        tls.write_all(&frame(0x89, &sent)).expect("sent");
        // The pong comes although the message is not whole.
        let pong = read_frame(&mut tls).expect("a pong");
        tls.write_all(&frame(0x80, b"true}")).expect("sent");
        read_to_end(&mut tls);
        pong
    });
    let mut link = connect_tls(port, &pki);
    assert_eq!(next(&mut link), Ok(b"{\"half\":true}".to_vec()));
    drop(link);
    assert_eq!(peer.join().expect("no panic"), (0x8a, ping));
}

#[test]
fn what_the_server_does_wrong_is_told_and_named() {
    let pki = Pki::new();
    let mut giant = vec![0x81, 127];
    giant.extend((MESSAGE_BYTES_MAX as u64 + 1).to_be_bytes());
    let cases: [(Vec<u8>, LinkDown, Vec<u8>); 5] = [
        (
            frame(0x88, b"\x03\xe9"),
            LinkDown::CloseFrame,
            vec![3, 0xe9],
        ),
        (
            frame(0x88, b"\x03\xf0slow"),
            LinkDown::CloseFrame,
            vec![3, 0xf0],
        ),
        (frame(0x88, b""), LinkDown::CloseFrame, vec![]),
        (vec![0x81, 0x85], LinkDown::Protocol, vec![3, 0xea]),
        (giant, LinkDown::TooBig, vec![3, 0xf1]),
    ];
    for (bytes, cause, goodbye) in cases {
        let (port, peer) = serve_websocket(&pki, move |mut tls| {
            tls.write_all(&frame(0x81, b"before")).expect("sent");
            tls.write_all(&bytes).expect("sent");
            let close = read_frame(&mut tls).expect("a close frame");
            // TLS says goodbye too: a clean end, no truncation.
            assert_eq!(tls.read(&mut [0]).expect("a clean end"), 0);
            close
        });
        let mut link = connect_tls(port, &pki);
        assert_eq!(next(&mut link), Ok(b"before".to_vec()));
        assert_eq!(next(&mut link), Err(cause));
        drop(link);
        assert_eq!(peer.join().expect("no panic"), (0x88, goodbye));
    }
}

#[test]
fn an_end_without_goodbye_is_an_end() {
    let pki = Pki::new();
    // Hung up, with everything sent before it still delivered; then hung up in the middle.
    for partial in [false, true] {
        let (port, peer) = serve_websocket(&pki, move |mut tls| {
            tls.write_all(&frame(0x81, b"last words")).expect("sent");
            if partial {
                tls.write_all(&frame(0x81, &[b'x'; 500])[..77])
                    .expect("sent");
            }
        });
        let mut link = connect_tls(port, &pki);
        assert_eq!(next(&mut link), Ok(b"last words".to_vec()));
        assert_eq!(next(&mut link), Err(LinkDown::Closed));
        peer.join().expect("no panic");
    }
    // TLS' own goodbye.
    let (port, peer) = serve_websocket(&pki, |mut tls| {
        tls.conn.send_close_notify();
        tls.flush().expect("sent");
        read_to_end(&mut tls);
    });
    let mut link = connect_tls(port, &pki);
    assert_eq!(next(&mut link), Err(LinkDown::Closed));
    drop(link);
    peer.join().expect("no panic");
    // A damaged record.
    let (port, peer) = serve_websocket(&pki, |mut tls| {
        tls.sock
            .write_all(&[
                23, 3, 3, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
            ])
            .expect("sent");
        tls.read(&mut [0]).expect_err("an alert").to_string()
    });
    let mut link = connect_tls(port, &pki);
    assert_eq!(next(&mut link), Err(LinkDown::Tls));
    drop(link);
    assert!(peer.join().expect("no panic").contains("alert"));
}

#[test]
fn silence_is_measured_from_the_last_bytes() {
    let pki = Pki::new();
    let (port, peer) = serve_websocket(&pki, |mut tls| {
        tls.write_all(&frame(0x89, b"")).expect("sent");
        read_frame(&mut tls).expect("a pong");
        tls.write_all(&frame(0x81, b"{}")).expect("sent");
        read_to_end(&mut tls);
    });
    let mut link = connect_tls(port, &pki);
    let max = Nanos::from_secs(45);
    let made = link.received_at();
    assert!(!link.is_silent(made.plus(max), max));
    assert!(link.is_silent(made.plus(max).plus(Nanos(1)), max));
    assert_eq!(next(&mut link), Ok(b"{}".to_vec()));
    // The stopwatch of this test stands at zero.
    assert_eq!(link.received_at(), Nanos::ZERO);
    assert!(!link.is_silent(max, max));
    drop(link);
    peer.join().expect("no panic");
}

/// Sends `before` and `after` around new keys, twice, and expects an echo under the new ones.
fn rekeying_server(mut tls: Tls) {
    for round in 0..2u8 {
        tls.write_all(&frame(0x81, b"before")).expect("sent");
        tls.conn.refresh_traffic_keys().expect("TLS 1.3");
        tls.write_all(&frame(0x81, b"after")).expect("sent");
        let echo = read_frame(&mut tls).expect("an echo");
        assert_eq!(echo, (0x81, vec![b'e', b'0' + round]));
    }
    read_to_end(&mut tls);
}

#[test]
fn new_keys_and_tickets_pass_unnoticed() {
    let pki = Pki::new();
    let (port, peer) = serve_websocket(&pki, rekeying_server);
    let mut link = connect_tls(port, &pki);
    for round in 0..2u8 {
        assert_eq!(next(&mut link), Ok(b"before".to_vec()));
        assert_eq!(next(&mut link), Ok(b"after".to_vec()));
        link.send(&[b'e', b'0' + round]).expect("up");
    }
    drop(link);
    peer.join().expect("no panic");

    // Many tickets, in the stream and in one segment with a message.
    let mut config = pki.server(&[&rustls::version::TLS13]);
    config.send_tls13_tickets = 30;
    let config = Arc::new(config);
    let (port, peer) = serve(move |stream| {
        let mut tls = accept_tls(stream, config);
        let mut bytes = answer_to(&read_request(&mut tls)).into_bytes();
        bytes.extend(frame(0x81, b"{}"));
        tls.write_all(&bytes).expect("sent");
        read_to_end(&mut tls);
    });
    let mut link = connect_tls(port, &pki);
    assert_eq!(next(&mut link), Ok(b"{}".to_vec()));
    drop(link);
    peer.join().expect("no panic");
}

/// In memory, byte by byte: a ticket that is spread over several records is half received at every
/// length, and we encrypt each time.
#[test]
fn sending_is_possible_inside_a_split_handshake_message() {
    let pki = Pki::new();
    let mut config = pki.server(&[&rustls::version::TLS13]);
    config.max_fragment_size = Some(64);
    let mut server = ServerConnection::new(Arc::new(config)).expect("a session");
    let name = "localhost".try_into().expect("a name");
    let mut client = TlsSession::new(config_of_roots(pki.roots.clone()), name).expect("a session");

    let to_server = |client: &mut TlsSession, server: &mut ServerConnection| {
        let mut wire = client.outgoing();
        while !wire.is_empty() {
            server.read_tls(&mut wire).expect("in memory");
            server.process_new_packets().expect("good records");
        }
        client.sent(client.outgoing().len());
    };
    let wire_of = |server: &mut ServerConnection| {
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("in memory");
        }
        wire
    };
    let mut got = Vec::new();
    while !client.is_ready() {
        let mut wire = &wire_of(&mut server)[..];
        while !wire.is_empty() {
            let space = client.space();
            let len = space.len().min(wire.len());
            space[..len].copy_from_slice(&wire[..len]);
            client.filled(len);
            wire = &wire[len..];
            client
                .advance(|bytes| got.extend_from_slice(bytes))
                .expect("good records");
        }
        client
            .advance(|bytes| got.extend_from_slice(bytes))
            .expect("good records");
        to_server(&mut client, &mut server);
    }

    server
        .writer()
        .write_all(b"after the tickets")
        .expect("buffered");
    let wire = wire_of(&mut server);
    let mut sent = 0;
    for byte in &wire {
        client.space()[0] = *byte;
        client.filled(1);
        while client
            .advance(|bytes| got.extend_from_slice(bytes))
            .expect("good records")
            == Progress::Plaintext
        {}
        assert_eq!(client.encrypt(b"x"), Ok(1));
        sent += 1;
        to_server(&mut client, &mut server);
    }
    assert_eq!(got, b"after the tickets");
    let mut read = vec![0; sent];
    server.reader().read_exact(&mut read).expect("all of it");
    assert!(read.iter().all(|byte| *byte == b'x'));
    assert!(
        sent > 4 * 64,
        "tickets came, in several records: {sent} bytes"
    );
}

#[test]
fn tls_1_2_works_too() {
    let pki = Pki::new();
    let config = Arc::new(pki.server(&[&rustls::version::TLS12]));
    let (port, peer) = serve(move |stream| {
        let mut tls = accept_tls(stream, config);
        let answer = answer_to(&read_request(&mut tls));
        tls.write_all(answer.as_bytes()).expect("sent");
        tls.write_all(&frame(0x81, b"{}")).expect("sent");
        let echo = read_frame(&mut tls).expect("an echo");
        read_to_end(&mut tls);
        echo
    });
    let mut link = connect_tls(port, &pki);
    assert_eq!(next(&mut link), Ok(b"{}".to_vec()));
    link.send(b"echo").expect("up");
    link.close(CloseCode::NORMAL);
    drop(link);
    assert_eq!(peer.join().expect("no panic"), (0x81, b"echo".to_vec()));
}

#[test]
fn an_order_leaves_between_two_messages_of_one_burst() {
    let pki = Pki::new();
    let (port, peer) = serve_websocket(&pki, |mut tls| {
        let mut segment = Vec::new();
        for text in [b"one", b"two"] {
            tls.conn
                .writer()
                .write_all(&frame(0x81, text))
                .expect("buffered");
            while tls.conn.wants_write() {
                tls.conn.write_tls(&mut segment).expect("in memory");
            }
        }
        tls.sock.write_all(&segment).expect("sent");
        let order = read_frame(&mut tls).expect("an order");
        tls.write_all(&frame(0x81, b"three")).expect("sent");
        read_to_end(&mut tls);
        order
    });
    let mut link = connect_tls(port, &pki);
    assert_eq!(next(&mut link), Ok(b"one".to_vec()));
    // The second record is received and not decrypted: it must stay where it is.
    link.send(b"{\"order\":1}").expect("up");
    assert!(!link.has_unsent());
    assert_eq!(next(&mut link), Ok(b"two".to_vec()));
    assert_eq!(next(&mut link), Ok(b"three".to_vec()));
    drop(link);
    assert_eq!(
        peer.join().expect("no panic"),
        (0x81, b"{\"order\":1}".to_vec())
    );
}

#[test]
fn a_server_that_stops_reading_fills_a_bounded_buffer_and_nothing_is_lost_before() {
    let pki = Pki::new();
    for tls in [true, false] {
        let (reading, read) = std::sync::mpsc::channel::<()>();
        let count_frames = move |stream: &mut dyn Read| {
            read.recv().expect("the test says when");
            let mut stream = stream;
            let mut sizes = Vec::new();
            while let Ok((first, payload)) = read_frame(&mut stream) {
                assert_eq!(first, 0x81);
                assert!(payload.iter().all(|byte| *byte == b'x'));
                sizes.push(payload.len());
            }
            sizes
        };
        let (port, peer) = if tls {
            serve_websocket(&pki, move |mut tls| count_frames(&mut tls))
        } else {
            serve(move |mut stream| {
                let answer = answer_to(&read_request(&mut stream));
                stream.write_all(answer.as_bytes()).expect("sent");
                count_frames(&mut stream)
            })
        };
        let scheme = if tls { "wss" } else { "ws" };
        let mut link =
            connect(&format!("{scheme}://localhost:{port}/"), &pki).expect("a good server");
        let message = vec![b'x'; 50_000];
        let mut accepted = 0;
        let cause = loop {
            match link.send(&message) {
                Ok(()) => accepted += 1,
                Err(cause) => break cause,
            }
        };
        assert_eq!(cause, LinkDown::SendBufferFull);
        assert!(link.has_unsent());
        assert!(accepted >= SEND_BUFFER_BYTES_MAX / message.len());
        // It reads again: everything accepted arrives, in order.
        reading.send(()).expect("the peer waits");
        while link.has_unsent() {
            link.flush().expect("up");
            std::thread::yield_now();
        }
        drop(link);
        assert_eq!(
            peer.join().expect("no panic"),
            vec![message.len(); accepted]
        );
    }
}

#[test]
fn one_question_and_its_answer() {
    let pki = Pki::new();
    let (port, peer) = serve_websocket(&pki, |mut tls| {
        let question = read_frame(&mut tls).expect("a question");
        tls.write_all(&frame(0x89, b"still there?")).expect("sent");
        let pong = read_frame(&mut tls).expect("a pong");
        let answer = vec![b' '; 3 << 20];
        tls.write_all(&frame(0x81, &answer)).expect("sent");
        read_to_end(&mut tls);
        (question, pong)
    });
    let to = endpoint(&format!("wss://localhost:{port}/ws-api/v3"), &pki);
    let answer = request_once(&to, "{\"method\":\"time\"}", PATIENCE).expect("an answer");
    assert_eq!(answer.len(), 3 << 20);
    assert_eq!(
        peer.join().expect("no panic"),
        (
            (0x81, b"{\"method\":\"time\"}".to_vec()),
            (0x8a, b"still there?".to_vec())
        )
    );

    let (port, peer) = serve_websocket(&pki, |mut tls| {
        read_frame(&mut tls).expect("a question");
        tls.write_all(&frame(0x88, b"\x03\xf0")).expect("sent");
        read_to_end(&mut tls);
    });
    let to = endpoint(&format!("wss://localhost:{port}/"), &pki);
    assert!(matches!(
        request_once(&to, "{}", PATIENCE),
        Err(RequestError::Closed { .. })
    ));
    peer.join().expect("no panic");

    let (port, peer) = serve_websocket(&pki, |mut tls| read_to_end(&mut tls));
    let to = endpoint(&format!("wss://localhost:{port}/"), &pki);
    assert!(matches!(
        request_once(&to, "{}", Nanos::from_ms(100)),
        Err(RequestError::Io { .. } | RequestError::Connect { .. })
    ));
    peer.join().expect("no panic");
}

#[test]
fn a_conversation_waits_no_longer_than_it_is_told_and_loses_nothing() {
    let pki = Pki::new();
    let (port, peer) = serve_websocket(&pki, |mut tls| {
        let first = read_frame(&mut tls).expect("a text");
        // Half an answer: the wait for it ends, and the rest comes after the next text.
        let answer = frame(0x81, b"the answer");
        tls.write_all(&answer[..5]).expect("sent");
        let second = read_frame(&mut tls).expect("a text");
        tls.write_all(&answer[5..]).expect("sent");
        tls.write_all(&frame(0x81, b"and another")).expect("sent");
        let goodbye = read_frame(&mut tls).expect("a close frame");
        (first.1, second.1, goodbye.0)
    });
    let to = endpoint(&format!("wss://localhost:{port}/ws-api/v3"), &pki);
    let clock = Clock::kernel();
    let later = || clock.now().plus(PATIENCE);
    let mut talk =
        Conversation::open(&to, MESSAGE_BYTES_MAX, clock, later()).expect("a good server");
    talk.send("one", later()).expect("sent");
    let soon = clock.now().plus(Nanos::from_ms(20));
    assert_eq!(talk.receive(soon).expect("open"), None);
    assert_eq!(talk.receive(Nanos::ZERO).expect("open"), None);
    talk.send("two", later()).expect("sent");
    let mut heard = || talk.receive(later()).expect("open");
    assert_eq!(heard().as_deref(), Some("the answer"));
    assert_eq!(heard().as_deref(), Some("and another"));
    talk.close(later());
    let (first, second, goodbye) = peer.join().expect("no panic");
    assert_eq!(
        (first.as_slice(), second.as_slice()),
        (&b"one"[..], &b"two"[..])
    );
    assert_eq!(goodbye, 0x88);

    let (port, peer) = serve_websocket(&pki, drop);
    let to = endpoint(&format!("wss://localhost:{port}/"), &pki);
    let mut talk =
        Conversation::open(&to, MESSAGE_BYTES_MAX, clock, later()).expect("a good server");
    assert!(matches!(
        talk.receive(later()),
        Err(RequestError::Io { .. })
    ));
    peer.join().expect("no panic");
}

/// Runs `peer` on a websocket with and without TLS, and `talk` at its other end.
fn converse<R: Send + 'static>(
    peer: impl Fn(&mut dyn ReadWrite) -> R + Clone + Send + 'static,
    mut talk: impl FnMut(Conversation, Clock) -> Conversation,
    mut check: impl FnMut(R),
) {
    let pki = Pki::new();
    let clock = Clock::kernel();
    for scheme in ["wss", "ws"] {
        let peer = peer.clone();
        let (port, peer) = if scheme == "wss" {
            serve_websocket(&pki, move |mut tls| peer(&mut tls))
        } else {
            serve(move |mut stream| {
                let answer = answer_to(&read_request(&mut stream));
                stream.write_all(answer.as_bytes()).expect("sent");
                peer(&mut stream)
            })
        };
        let to = endpoint(&format!("{scheme}://localhost:{port}/"), &pki);
        let until = clock.now().plus(PATIENCE);
        let open = Conversation::open(&to, MESSAGE_BYTES_MAX, clock, until);
        let talk = talk(open.expect("a good server"), clock);
        talk.close(clock.now().plus(PATIENCE));
        check(peer.join().expect("no panic"));
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn a_ping_at_the_end_of_a_wait_is_answered_and_ends_nothing() {
    converse(
        |stream| {
            let mut stream = stream;
            // In one segment and one record, so that the text's wait brings the ping, and the next, which is over
            // when it begins, has to answer it.
            let mut both = frame(0x81, b"a text");
            both.extend(frame(0x89, b"still there?"));
            stream.write_all(&both).expect("sent");
            let pong = read_frame(&mut stream).expect("a pong");
            // Then pings as they like to come, until the client has had enough of them.
            let mut answered = 0;
            loop {
                let ping = frame(0x89, &[7; 125]);
                if stream.write_all(&ping).is_err() {
                    break;
                }
                match read_frame(&mut stream) {
                    Ok((0x8a, bytes)) => assert_eq!(bytes, [7; 125]),
                    Ok((0x81, _)) => break,
                    other => panic!("{other:?}"),
                }
                answered += 1;
            }
            (pong, answered)
        },
        |mut talk, clock| {
            let text = talk.receive(clock.now().plus(PATIENCE)).expect("open");
            assert_eq!(text.as_deref(), Some("a text"));
            assert_eq!(talk.receive(Nanos::ZERO).expect("open"), None);
            for _ in 0..200 {
                let soon = clock.now().plus(Nanos::from_ms(2));
                assert_eq!(talk.receive(soon).expect("open"), None);
            }
            talk.send("enough", clock.now().plus(PATIENCE))
                .expect("open");
            talk
        },
        |(pong, answered): (_, u32)| {
            assert_eq!(pong, (0x8a, b"still there?".to_vec()));
            assert!(answered > 0);
        },
    );
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_listened_to_and_its_pongs_wait() {
    // More than the kernel and the client keep for a peer that does not read, even with the largest socket buffers.
    const PINGS: usize = 200_000;
    converse(
        |stream| {
            let mut stream = stream;
            let pings = frame(0x89, &[7; 125]).repeat(100);
            for _ in 0..PINGS / 100 {
                stream.write_all(&pings).expect("sent");
            }
            stream.write_all(&frame(0x81, b"done")).expect("sent");
            let mut pongs = 0;
            loop {
                match read_frame(&mut stream).expect("a whole frame") {
                    (0x8a, bytes) => assert_eq!(bytes, [7; 125]),
                    (0x81, bytes) => {
                        assert_eq!(bytes, b"heard");
                        return pongs;
                    }
                    other => panic!("{other:?}"),
                }
                pongs += 1;
            }
        },
        |mut talk, clock| {
            let said = loop {
                let soon = clock.now().plus(Nanos::from_ms(2));
                if let Some(text) = talk.receive(soon).expect("open") {
                    break text;
                }
            };
            assert_eq!(said, "done");
            talk.send("heard", clock.now().plus(PATIENCE))
                .expect("open");
            talk
        },
        |pongs: usize| {
            assert!(
                pongs > 0 && pongs < PINGS,
                "{pongs}: it was not held up at all"
            );
        },
    );
}

#[test]
fn the_connector_answers_every_wish_and_frees_what_comes_back() {
    let pki = Pki::new();
    let (port, peer) = serve_websocket(&pki, |mut tls| {
        tls.write_all(&frame(0x81, b"hello")).expect("sent");
        read_to_end(&mut tls);
    });
    let unused = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = unused.local_addr().expect("bound").port();
    drop(unused);

    let poll = mio::Poll::new().expect("a poll");
    let (reports, reported) = crossbeam_channel::bounded(4);
    let shared = ConnectorShared {
        stop: Arc::default(),
        unix_ns_at_zero: Arc::new(WALL_UNKNOWN.into()),
        clock_drift_ppb: Arc::default(),
        waker: Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker")),
        reports,
    };
    let (mut core, ends) = rings();
    let config = ConnectorConfig {
        market: endpoint(&format!("wss://localhost:{port}/"), &pki),
        api: endpoint(&format!("wss://localhost:{nobody}/"), &pki),
        orders: endpoint(&format!("wss://localhost:{nobody}/"), &pki),
        timeout: PATIENCE,
        clock: Clock::kernel(),
        core_cpu: None,
    };
    let thread = spawn(config, ends, shared.clone()).expect("a thread");
    let other = LinkId {
        role: LinkRole::Api,
        generation: 2,
    };
    for wish in [LINK, other] {
        assert!(core.to_connector.push(ToConnector::Connect(wish)).is_ok());
    }
    let mut ready = None;
    let mut failed = None;
    while ready.is_none() || failed.is_none() {
        match core.from_connector.pop() {
            Ok(FromConnector::Ready(link)) => ready = Some(link),
            Ok(FromConnector::Failed(link, cause)) => failed = Some((link, cause)),
            Ok(FromConnector::Refused(link, status, _)) => panic!("{link:?}: {status}"),
            Err(_) => std::thread::yield_now(),
        }
    }
    assert_eq!(failed, Some((other, LinkDown::Connect)));
    let report = reported.recv().expect("in words too");
    assert_eq!(
        (report.link, report.fault.cause),
        (other, LinkDown::Connect)
    );
    let mut link = ready.expect("a link");
    assert_eq!(link.id(), LINK);
    assert_eq!(next(&mut link), Ok(b"hello".to_vec()));
    // Wall time is known by now: the connector measures before it looks at wishes.
    let offset = shared
        .unix_ns_at_zero
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_ne!(offset, WALL_UNKNOWN);

    // A retired link is dropped over there, which the peer sees.
    assert!(core.to_connector.push(ToConnector::Retire(link)).is_ok());
    peer.join().expect("no panic");
    shared
        .stop
        .store(true, std::sync::atomic::Ordering::Release);
    thread.join().expect("no panic");
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named() {
    let pki = Pki::new();
    let good = pki.ca_file("good");
    let empty = std::env::temp_dir().join(format!("veloz-{}-empty.pem", std::process::id()));
    std::fs::write(&empty, "no certificate here\n").expect("a writable directory");
    let missing = std::env::temp_dir().join("veloz-no-such-file.pem");

    let config = client_config(std::slice::from_ref(&good), &[]).expect("a CA");
    assert!(matches!(
        client_config(&[good.clone(), missing.clone()], &[]),
        Err(TrustError::Pem { path, .. }) if path == missing
    ));
    assert!(matches!(
        client_config(std::slice::from_ref(&empty), &[]),
        Err(TrustError::Empty { path }) if path == empty
    ));

    // The good one is trusted beside the web's roots.
    let (port, peer) = serve_websocket(&pki, |mut tls| read_to_end(&mut tls));
    let to = Endpoint::new(&format!("wss://localhost:{port}/"), &config).expect("a URL");
    connect_link(&to, LINK, Clock::kernel(), PATIENCE).expect("a trusted server");
    peer.join().expect("no panic");
    for path in [good, empty] {
        std::fs::remove_file(path).expect("ours to remove");
    }
}
