//! The far end of the measured connections, in memory: the server side of TLS, and what a client's frames say.
//!
//! Owns: [`Authority`], one certificate and the configurations on it; [`FarEnd`], one connection. Does not: answer
//! anything. Nothing of it is ever inside a measured span.

use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use std::io::Read as _;
use std::sync::Arc;
use veloz_core::edge::tls::config_of_roots;

/// What both stacks connect to.
#[derive(Clone)]
pub(super) struct Authority {
    pub(super) client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Authority {
    pub(super) fn new() -> Self {
        use rcgen::{
            BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
            KeyUsagePurpose,
        };
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::new()).expect("no names");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = ca.self_signed(&ca_key).expect("a root");
        let key = KeyPair::generate().expect("a key");
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key));
        let leaf = leaf.expect("a leaf").der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![leaf], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
        Self {
            client: config_of_roots(roots),
            server: Arc::new(server.expect("a certificate with its key")),
        }
    }
}

/// The name on the certificate.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

/// The far end of one connection; plain without TLS.
pub(super) struct FarEnd {
    tls: Option<Box<ServerConnection>>,
    /// Bytes of the client that hold no whole frame yet, after TLS.
    unread: Vec<u8>,
}

impl FarEnd {
    pub(super) fn plain() -> Self {
        Self {
            tls: None,
            unread: Vec::new(),
        }
    }

    pub(super) fn tls(authority: &Authority) -> Self {
        let tls = ServerConnection::new(authority.server.clone()).expect("a configuration");
        Self {
            tls: Some(Box::new(tls)),
            unread: Vec::new(),
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// What the connection carries for `bytes`, and what TLS has to say by itself.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(tls) = &mut self.tls else {
            return bytes.to_vec();
        };
        let mut sealed = Vec::new();
        std::io::Write::write_all(&mut tls.writer(), bytes).expect("its buffer grows");
        while tls.wants_write() {
            tls.write_tls(&mut sealed).expect("memory");
        }
        sealed
    }

    /// Takes what the client sent.
    pub(super) fn open(&mut self, mut bytes: &[u8]) {
        let Some(tls) = &mut self.tls else {
            self.unread.extend(bytes);
            return;
        };
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).expect("memory");
            tls.process_new_packets().expect("the client's records");
            // "Would block" is the end of what is there.
            let _ = tls.reader().read_to_end(&mut self.unread);
        }
    }

    /// The next whole message of the client, unmasked.
    pub(super) fn next_message(&mut self) -> Option<String> {
        let (len, head) = match *self.unread.get(1)? & 0x7F {
            126 => {
                let bytes = self.unread.get(2..4)?.try_into().expect("two");
                (usize::from(u16::from_be_bytes(bytes)), 4)
            }
            len => (usize::from(len), 2),
        };
        let whole = self.unread.get(..head + 4 + len)?;
        let (mask, masked) = whole[head..].split_at(4);
        let text = masked.iter().zip(mask.iter().cycle());
        let text = text.map(|(byte, mask)| byte ^ mask).collect();
        self.unread.drain(..head + 4 + len);
        Some(String::from_utf8(text).expect("requests are text"))
    }
}
