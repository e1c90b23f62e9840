//! TLS of the server.
//!
//! Owns: [`TlsFiles`] and what they become. Does not: accept connections. Invariants: aws-lc-rs is the
//! provider, named and not defaulted; with a client CA, a peer without a certificate of it gets no
//! further than the handshake.

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the server's identity lies, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own certificate first.
    pub certificates: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of client certificates; with `Some`, every client must have one.
    pub client_ca: Option<PathBuf>,
}

/// Why there is no TLS; a fault of the start.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is no PEM of the kind.
    #[error("TLS file {path}: {cause}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        cause: rustls_pki_types::pem::Error,
    },
    /// A file without a certificate.
    #[error("TLS file {path}: no certificate in it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// rustls refuses what the files hold.
    #[error("TLS file {path}: {cause}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        cause: String,
    },
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3");
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| refused(path, &error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| refused(path, &error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|cause| TlsError::Pem {
            path: self.key.clone(),
            cause,
        })?;
        let mut config = builder
            .with_single_cert(certificates(&self.certificates)?, key)
            .map_err(|error| refused(&self.certificates, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn refused(path: &Path, cause: &dyn std::error::Error) -> TlsError {
    TlsError::Refused {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |cause| TlsError::Pem {
        path: path.to_owned(),
        cause,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(pem)?.collect();
    let found = found.map_err(pem)?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}
