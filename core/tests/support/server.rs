//! The other end of a link, on loopback: a private CA, a TLS server, and websocket frames written by
//! hand, so that a test decides what lies in which record and segment.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tungstenite::handshake::derive_accept_key;

/// A server's TLS stream.
pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A CA of our own and a certificate for `localhost`.
pub(crate) struct Pki {
    pub(crate) ca_pem: String,
    pub(crate) roots: RootCertStore,
    certificate: rustls_pki_types::CertificateDer<'static>,
    key: Vec<u8>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        use rcgen::{
            BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
            KeyUsagePurpose,
        };
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::new()).expect("no names");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_certificate = ca.self_signed(&ca_key).expect("a root");
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().expect("a key");
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&key, &issuer).expect("a leaf");
        let mut roots = RootCertStore::empty();
        roots.add(ca_certificate.der().clone()).expect("a root");
        Self {
            ca_pem: ca_certificate.pem(),
            roots,
            certificate: leaf.der().clone(),
            key: key.serialize_der(),
        }
    }

    /// The server's side, for these protocol versions.
    pub(crate) fn server(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(
                vec![self.certificate.clone()],
                rustls_pki_types::PrivateKeyDer::Pkcs8(self.key.clone().into()),
            )
            .expect("a certificate with its key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    /// The CA in a file, as an operator would give it.
    pub(crate) fn ca_file(&self, name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("veloz-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, &self.ca_pem).expect("a writable temporary directory");
        path
    }
}

/// Accepts one connection and runs `peer` on it; returns the port.
pub(crate) fn serve<R: Send + 'static>(
    peer: impl FnOnce(TcpStream) -> R + Send + 'static,
) -> (u16, JoinHandle<R>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        stream.set_nodelay(true).expect("a TCP socket");
        peer(stream)
    });
    (port, thread)
}

/// As [`serve`], with the TLS handshake done and the upgrade answered.
pub(crate) fn serve_websocket<R: Send + 'static>(
    pki: &Pki,
    peer: impl FnOnce(Tls) -> R + Send + 'static,
) -> (u16, JoinHandle<R>) {
    let config = Arc::new(pki.server(rustls::DEFAULT_VERSIONS));
    serve(move |stream| {
        let mut tls = accept_tls(stream, config);
        let answer = answer_to(&read_request(&mut tls));
        tls.write_all(answer.as_bytes()).expect("sent");
        peer(tls)
    })
}

pub(crate) fn accept_tls(stream: TcpStream, config: Arc<ServerConfig>) -> Tls {
    StreamOwned::new(ServerConnection::new(config).expect("a session"), stream)
}

/// Reads a request's head.
pub(crate) fn read_request(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole request");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("ASCII")
}

/// The 101 for a request.
pub(crate) fn answer_to(request: &str) -> String {
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .expect("a websocket request");
    let accept = derive_accept_key(key.trim().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// One server frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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

/// Reads one client frame: its first byte, and its payload with the mask taken off.
pub(crate) fn read_frame(stream: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    assert_ne!(head[1] & 0x80, 0, "a client masks");
    let len = match head[1] & 0x7f {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len)?;
            u64::from(u16::from_be_bytes(len))
        }
        127 => {
            let mut len = [0; 8];
            stream.read_exact(&mut len)?;
            u64::from_be_bytes(len)
        }
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask)?;
    let mut payload = vec![0; len as usize];
    stream.read_exact(&mut payload)?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((head[0], payload))
}

/// Reads until the client is gone.
pub(crate) fn read_to_end(stream: &mut impl Read) {
    let mut sink = [0; 4096];
    while matches!(stream.read(&mut sink), Ok(len) if len > 0) {}
}
