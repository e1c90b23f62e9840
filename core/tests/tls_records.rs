//! Our TLS 1.3 records against rustls' server, in memory: every suite, every split, new keys on both sides,
//! and each way to end.

#[path = "support/server.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod server;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::{
    ClientConfig, ServerConfig, ServerConnection, SupportedCipherSuite, SupportedProtocolVersion,
    Tls13CipherSuite, version,
};
use server::Pki;
use veloz_core::edge::tls::record::RecordFault;
use veloz_core::edge::tls::{Progress, TlsFault, TlsSession, config_of_roots};

/// A session of ours and its server.
struct Pair {
    client: TlsSession,
    server: ServerConnection,
    /// What the client received.
    got: Vec<u8>,
}

impl Pair {
    /// After the handshake, in which the client was given `piece` bytes at a time.
    fn new(client: Arc<ClientConfig>, server: ServerConfig, piece: usize) -> Self {
        let name = "localhost".try_into().expect("a name");
        let mut pair = Self {
            client: TlsSession::new(client, name).expect("a session"),
            server: ServerConnection::new(Arc::new(server)).expect("a session"),
            got: Vec::new(),
        };
        while !pair.client.is_ready() || pair.server.is_handshaking() {
            pair.advance().expect("an honest peer");
            pair.deliver().expect("our own records");
            let wire = pair.wire();
            pair.receive(&wire, piece).expect("an honest peer");
        }
        pair
    }

    fn advance(&mut self) -> Result<Progress, TlsFault> {
        let Self { client, got, .. } = self;
        loop {
            let progress = client.advance(|text| got.extend_from_slice(text))?;
            if progress != Progress::Plaintext {
                return Ok(progress);
            }
        }
    }

    /// Gives the client `wire`, in pieces, and lets it work on each.
    fn receive(&mut self, wire: &[u8], piece: usize) -> Result<Progress, TlsFault> {
        let mut progress = Progress::NeedsBytes;
        for now in wire.chunks(piece) {
            let mut now = now;
            while !now.is_empty() {
                let space = self.client.space();
                let len = now.len().min(space.len());
                space[..len].copy_from_slice(&now[..len]);
                self.client.filled(len);
                now = &now[len..];
                progress = self.advance()?;
            }
        }
        Ok(progress)
    }

    /// What the server has to send.
    fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).expect("in memory");
        }
        wire
    }

    /// The records of one text from the server.
    fn says(&mut self, text: &[u8]) -> Vec<u8> {
        self.server.writer().write_all(text).expect("buffered");
        self.wire()
    }

    /// Carries what the client has to send.
    fn deliver(&mut self) -> Result<(), rustls::Error> {
        let mut wire = self.client.outgoing();
        while !wire.is_empty() {
            self.server.read_tls(&mut wire).expect("in memory");
            self.server.process_new_packets()?;
        }
        let sent = self.client.outgoing().len();
        self.client.sent(sent);
        Ok(())
    }

    /// Sends `text` to the server and reads it there.
    fn send(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() {
            let taken = self.client.encrypt(rest).expect("a session");
            assert!(taken > 0, "the server reads");
            self.deliver().expect("our own records");
            let mut read = vec![0; taken];
            let mut reader = self.server.reader();
            reader.read_exact(&mut read).expect("all of it");
            assert_eq!(read, rest[..taken]);
            rest = &rest[taken..];
        }
    }

    fn hears(&mut self, text: &[u8]) {
        let wire = self.says(text);
        assert_eq!(
            self.receive(&wire, usize::MAX),
            Ok(Progress::NeedsBytes),
            "{} bytes",
            text.len()
        );
        assert_eq!(std::mem::take(&mut self.got), text);
    }
}

fn client(pki: &Pki) -> Arc<ClientConfig> {
    config_of_roots(pki.roots.clone())
}

/// A server that knows one suite.
fn server_with(pki: &Pki, suite: SupportedCipherSuite) -> ServerConfig {
    let certificate = pki.server(&[suite.version()]).cert_resolver;
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite];
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[suite.version()])
        .expect("the suite is of this version")
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn tls13(pki: &Pki) -> ServerConfig {
    pki.server(&[&version::TLS13])
}

#[test]
fn every_suite_of_both_versions_carries_data() {
    let pki = Pki::new();
    let suites = default_provider().cipher_suites;
    let of = |version: &'static SupportedProtocolVersion| {
        suites
            .iter()
            .filter(move |suite| suite.version() == version)
            .count()
    };
    assert_eq!(of(&version::TLS13), 3, "those that the record layer has");
    assert!(of(&version::TLS12) > 0);
    for suite in suites {
        if suite.tls13().is_none() && format!("{:?}", suite.suite()).contains("RSA") {
            continue; // The certificate's key is of a curve.
        }
        let mut pair = Pair::new(client(&pki), server_with(&pki, suite), usize::MAX);
        assert_eq!(pair.server.negotiated_cipher_suite(), Some(suite));
        for round in 0..200_usize {
            let text: Vec<u8> = (0..=round * 211 % 40_000)
                .map(|byte| (byte + round) as u8)
                .collect();
            pair.hears(&text);
            pair.send(&text);
        }
        pair.client.close();
        pair.deliver().expect("a goodbye");
        let end = pair.server.reader().read(&mut [0]);
        assert_eq!(end.ok(), Some(0), "a clean end");
        pair.server.send_close_notify();
        let wire = pair.wire();
        assert_eq!(pair.receive(&wire, 1), Ok(Progress::PeerClosed));
    }
    // Of all that are offered, the cheapest.
    let pair = Pair::new(client(&pki), tls13(&pki), usize::MAX);
    assert_eq!(
        pair.server.negotiated_cipher_suite(),
        Some(cipher_suite::TLS13_AES_128_GCM_SHA256)
    );
}

/// Data and tickets before our `Finished` has arrived, and behind the handshake in the same bytes.
#[test]
fn nothing_is_lost_where_the_handshake_ends() {
    let pki = Pki::new();
    let flight_bytes = handshake_in_two(&pki, usize::MAX);
    assert!(flight_bytes > 500, "{flight_bytes} in the server's flight");
    for split in (0..=flight_bytes).step_by(7).chain([flight_bytes - 1]) {
        handshake_in_two(&pki, split);
    }
}

/// The server's first flight with data of half a round trip behind it comes in two pieces, and all that
/// follows in one. Returns the flight's bytes.
fn handshake_in_two(pki: &Pki, split: usize) -> usize {
    let mut config = tls13(pki);
    config.send_half_rtt_data = true;
    config.send_tls13_tickets = 3;
    let name = "localhost".try_into().expect("a name");
    let mut pair = Pair {
        client: TlsSession::new(client(pki), name).expect("a session"),
        server: ServerConnection::new(Arc::new(config)).expect("a session"),
        got: Vec::new(),
    };
    pair.advance().expect("the first flight");
    pair.deliver().expect("our own records");
    let flight = pair.says(b"early ");
    let (first, second) = flight.split_at(split.min(flight.len()));
    pair.receive(first, usize::MAX).expect("an honest peer");
    pair.receive(second, usize::MAX).expect("an honest peer");
    assert!(pair.client.is_ready());
    pair.deliver().expect("our own records");
    let wire = pair.says(b"late");
    pair.receive(&wire, usize::MAX).expect("an honest peer");
    assert_eq!(pair.got, b"early late");
    pair.send(b"and back");
    flight.len()
}

#[test]
fn records_may_be_split_anywhere() {
    let pki = Pki::new();
    for piece in [1, 2, 3, 5, 17, 100] {
        let mut pair = Pair::new(client(&pki), tls13(&pki), piece);
        let mut wire = Vec::new();
        let mut texts = Vec::new();
        for round in 0..20_usize {
            let text = vec![round as u8; round * 37 % 300];
            wire.extend(pair.says(&text));
            texts.extend(text);
        }
        assert_eq!(pair.receive(&wire, piece), Ok(Progress::NeedsBytes));
        assert_eq!(pair.got, texts);
    }
}

#[test]
fn the_server_renews_its_key_and_asks_for_ours() {
    let pki = Pki::new();
    for suite in [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let mut pair = Pair::new(client(&pki), server_with(&pki, suite), usize::MAX);
        for round in 0..50_u8 {
            pair.server.refresh_traffic_keys().expect("TLS 1.3");
            if round % 3 == 0 {
                pair.server.refresh_traffic_keys().expect("TLS 1.3");
            }
            pair.hears(&[round; 30]);
            if round % 2 == 0 {
                pair.deliver().expect("our answer");
            }
            pair.send(&[round; 40]);
        }
    }
}

#[test]
fn we_renew_our_key_before_the_ciphers_limit_and_the_server_follows() {
    let pki = Pki::new();
    for suite in [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
    ] {
        // The same suite, with a limit that a test reaches.
        let SupportedCipherSuite::Tls13(real) = suite else {
            panic!("a suite of TLS 1.3");
        };
        let common = CipherSuiteCommon {
            suite: real.common.suite,
            hash_provider: real.common.hash_provider,
            confidentiality_limit: 10,
        };
        let limited: &'static Tls13CipherSuite = Box::leak(Box::new(Tls13CipherSuite {
            common,
            hkdf_provider: real.hkdf_provider,
            aead_alg: real.aead_alg,
            quic: None,
        }));
        let mut provider = default_provider();
        provider.cipher_suites = vec![SupportedCipherSuite::Tls13(limited)];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])
            .expect("the provider knows it")
            .with_root_certificates(pki.roots.clone())
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        let mut pair = Pair::new(Arc::new(config), server_with(&pki, suite), usize::MAX);
        let mut renewed = 0;
        for round in 0..100_u8 {
            assert_eq!(pair.client.encrypt(&[round; 20]), Ok(20));
            // A key update of five bytes goes before what it makes room for.
            renewed += usize::from(pair.client.outgoing().len() > 20 + 22);
            pair.deliver().expect("our own records");
            let mut read = [0; 20];
            pair.server.reader().read_exact(&mut read).expect("all");
            assert_eq!(read, [round; 20]);
            // The server's own new key, which ours asked for.
            pair.hears(b"answer");
        }
        assert_eq!(renewed, 11, "nine records of data and the update a key");
    }
}

/// What happens to records on the way.
type Spoil = fn(&mut Vec<u8>);

#[test]
fn what_is_not_the_servers_ends_the_session_and_the_server_is_told() {
    let pki = Pki::new();
    let cases: [(Spoil, RecordFault, u8); 6] = [
        (|wire| wire[9] ^= 1, RecordFault::BadMac, 20),
        (
            |wire| *wire.last_mut().expect("a tag") ^= 1,
            RecordFault::BadMac,
            20,
        ),
        (|wire| wire[0] = 20, RecordFault::Unprotected(20), 10),
        (|wire| wire[2] = 1, RecordFault::Version(0x0301), 70),
        (|wire| wire[3] = 0x50, RecordFault::TooLong, 22),
        (
            |wire| {
                wire.splice(0..0, *b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    .for_each(drop);
            },
            RecordFault::Unprotected(b'H'),
            10,
        ),
    ];
    for (spoil, fault, alert) in cases {
        let mut pair = Pair::new(client(&pki), tls13(&pki), usize::MAX);
        pair.hears(b"good");
        let mut wire = pair.says(b"spoilt on the way");
        spoil(&mut wire);
        assert_eq!(
            pair.receive(&wire, usize::MAX),
            Err(TlsFault::Record(fault))
        );
        let told = pair.deliver().expect_err("an alert");
        assert_eq!(told, rustls::Error::AlertReceived(alert.into()));
        assert!(pair.got.is_empty());
    }

    // Twice the same, one that was left out, and the server's own alert.
    let mut pair = Pair::new(client(&pki), tls13(&pki), usize::MAX);
    let wire = pair.says(b"once");
    pair.receive(&wire, usize::MAX).expect("the first time");
    let again = pair.receive(&wire, usize::MAX);
    assert_eq!(again, Err(TlsFault::Record(RecordFault::BadMac)));

    let mut pair = Pair::new(client(&pki), tls13(&pki), usize::MAX);
    drop(pair.says(b"lost"));
    let wire = pair.says(b"next");
    let next = pair.receive(&wire, usize::MAX);
    assert_eq!(next, Err(TlsFault::Record(RecordFault::BadMac)));

    let mut pair = Pair::new(client(&pki), tls13(&pki), usize::MAX);
    pair.client.encrypt(b"spoilt").expect("a session");
    let mut wire = pair.client.outgoing().to_vec();
    wire[7] ^= 1;
    pair.server.read_tls(&mut &wire[..]).expect("in memory");
    pair.server.process_new_packets().expect_err("spoilt");
    let wire = pair.wire();
    assert_eq!(
        pair.receive(&wire, usize::MAX),
        Err(TlsFault::Record(RecordFault::Alert(20)))
    );
    let sent = pair.client.outgoing().len();
    pair.client.sent(sent);
    assert_eq!(pair.client.encrypt(b"more"), Ok(0), "it is over");
}

/// A configuration that keeps its secrets leaves the records to the library; both are the same to the peer.
#[test]
fn records_of_the_library_carry_the_same() {
    let pki = Pki::new();
    let mut config = ClientConfig::clone(&client(&pki));
    config.enable_secret_extraction = false;
    let mut pair = Pair::new(Arc::new(config), tls13(&pki), usize::MAX);
    for round in 0..20_u8 {
        pair.server.refresh_traffic_keys().expect("TLS 1.3");
        pair.hears(&[round; 300]);
        pair.send(&[round; 300]);
    }
}
