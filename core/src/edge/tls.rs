//! TLS for a client: what we trust, and the session that turns records into plaintext.
//!
//! Owns: [`client_config`], [`TrustError`], [`TlsSession`], and the record layer of TLS 1.3 ([`record`]).
//! Does not: touch a socket. The handshake is rustls'.
//! One provider (aws-lc-rs) is named everywhere: with two compiled in, a default would panic.

pub mod record;
mod session;
mod takeover;

pub use session::{Progress, TlsFault, TlsSession};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{CipherSuite, ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why the roots of trust could not be set up; a fault of the start.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A CA file cannot be read or is no PEM.
    #[error("CA file {path}: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: rustls_pki_types::pem::Error,
    },
    /// A CA file without a certificate.
    #[error("CA file {path}: no certificate in it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that cannot be a root, or a provider without its protocol versions.
    #[error("CA file {path}: {source}")]
    Root {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: rustls::Error,
    },
}

/// The client side of TLS: the web's roots, and the extra ones of `ca_files` and of the texts
/// `ca_pems` (PEM both), which a venue inside this process hands over without a file.
///
/// ALPN offers only HTTP/1.1, or a front end could choose h2 and refuse the upgrade. Resumption is
/// off: tickets would be kept and bring the core nothing, which never connects. Secrets are handed out:
/// to the record layer of the session itself, and nobody else. AES-128 is offered before AES-256: it is as
/// good for a session of a day, and takes ten rounds instead of fourteen.
///
/// # Errors
/// [`TrustError`] names the file.
pub fn client_config(
    ca_files: &[PathBuf],
    ca_pems: &[String],
) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for path in ca_files {
        let pem = std::fs::read(path).map_err(|source| TrustError::Pem {
            path: path.clone(),
            source: rustls_pki_types::pem::Error::Io(source),
        })?;
        add_ca(&mut roots, path, &pem)?;
    }
    for pem in ca_pems {
        add_ca(&mut roots, Path::new("(given as text)"), pem.as_bytes())?;
    }
    Ok(config_of_roots(roots))
}

/// As [`client_config`], trusting exactly `roots`.
pub fn config_of_roots(roots: RootCertStore) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    // Stable: all others keep their order.
    provider
        .cipher_suites
        .sort_by_key(|offered| offered.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_secret_extraction = true;
    Arc::new(config)
}

fn add_ca(roots: &mut RootCertStore, path: &Path, text: &[u8]) -> Result<(), TrustError> {
    let pem = |source| TrustError::Pem {
        path: path.to_owned(),
        source,
    };
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(text) {
        found = true;
        roots
            .add(certificate.map_err(pem)?)
            .map_err(|source| TrustError::Root {
                path: path.to_owned(),
                source,
            })?;
    }
    if found {
        Ok(())
    } else {
        Err(TrustError::Empty {
            path: path.to_owned(),
        })
    }
}
