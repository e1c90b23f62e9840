//! The server with TLS, against a real client.

use super::attacks::{exchange_over, get_head, listening};
use super::*;
use crate::http::requests::ConnectionEnd;
use crate::http::tls::{TlsError, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::PathBuf;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// An authority, and what it signed, as files.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let authority = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            issuer: Issuer::new(parameters, key),
        };
        authority.write("ca.pem", &certificate.pem());
        authority
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate for localhost and its key, in `NAME.pem` and `NAME.key`.
    fn sign(&self, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .expect("a name")
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn server(&self, with_clients: bool) -> TlsFiles {
        self.sign("server");
        TlsFiles {
            certificates: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: with_clients.then(|| self.path("ca.pem")),
        }
    }

    fn connector(&self, client: Option<&str>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.path("ca.pem")).expect("written");
        roots.add(ca).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("suites")
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::from_pem_file(self.path(&format!("{name}.pem")));
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key")));
                builder
                    .with_client_auth_cert(vec![chain.expect("written")], key.expect("written"))
                    .expect("a pair")
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

async fn ask(address: std::net::SocketAddr, connector: TlsConnector) -> String {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    match connector.connect(name, stream).await {
        Ok(stream) => exchange_over(stream, &get_head("/health")).await,
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_encrypted_port_answers_its_clients_and_not_plain_text() {
    let authority = Authority::new();
    let tls = authority.server(false).load().expect("sound files");
    let fixture = fixture();
    let surface = Surface {
        tls: true,
        ..on_this_machine()
    };
    let metrics = listening(
        &fixture,
        fixture.router(surface),
        Some(tls),
        async |address| {
            let answer = ask(address, authority.connector(None)).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(
                answer.contains("strict-transport-security: max-age="),
                "{answer}"
            );
            let plain = TcpStream::connect(address).await.expect("it listens");
            let answer = exchange_over(plain, &get_head("/health")).await;
            assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
        },
    );
    assert_eq!(metrics.connections_failed(ConnectionEnd::Tls), 1);
}

#[test]
fn a_client_needs_a_certificate_of_the_authority_where_one_is_asked_for() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let tls = authority.server(true).load().expect("sound files");
    authority.sign("client");
    // Signed by another authority, presented to a server that does not know it.
    stranger.sign("client");
    std::fs::copy(stranger.path("client.pem"), authority.path("other.pem")).expect("copied");
    std::fs::copy(stranger.path("client.key"), authority.path("other.key")).expect("copied");
    let fixture = fixture();
    let router = fixture.router(on_this_machine());
    let metrics = listening(&fixture, router, Some(tls), async |address| {
        let known = ask(address, authority.connector(Some("client"))).await;
        assert!(known.starts_with("HTTP/1.1 200 OK\r\n"), "{known}");
        for without in [None, Some("other")] {
            let answer = ask(address, authority.connector(without)).await;
            assert!(!answer.contains("HTTP/1.1"), "{answer}");
        }
    });
    assert_eq!(metrics.connections_failed(ConnectionEnd::Tls), 2);
}

#[test]
fn files_that_are_no_identity_stop_the_start_by_name() {
    let authority = Authority::new();
    let good = authority.server(false);
    authority.write("empty.pem", "");
    authority.sign("other");
    let refusal = |files: TlsFiles| files.load().expect_err("refused");

    let missing = refusal(TlsFiles {
        key: authority.path("no.key"),
        ..good.clone()
    });
    assert!(missing.to_string().contains("no.key"), "{missing}");
    let empty = refusal(TlsFiles {
        certificates: authority.path("empty.pem"),
        ..good.clone()
    });
    assert!(matches!(empty, TlsError::Empty { .. }), "{empty}");
    let mismatched = refusal(TlsFiles {
        key: authority.path("other.key"),
        ..good.clone()
    });
    assert!(
        matches!(mismatched, TlsError::Refused { .. }),
        "{mismatched}"
    );
    let no_clients = refusal(TlsFiles {
        client_ca: Some(authority.path("empty.pem")),
        ..good
    });
    assert!(no_clients.to_string().contains("empty.pem"), "{no_clients}");
}
