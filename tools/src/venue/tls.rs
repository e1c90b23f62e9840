//! Certificates of the simulated venue: a CA and a server certificate, made at every start.
//!
//! Owns: the key pairs and the server's TLS configuration. Does not: keep anything on disk but
//! the CA's public certificate, where told. Invariant: names and addresses are loopback only, so
//! the CA is worthless for anything else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Why the venue has no TLS identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A certificate could not be made.
    #[error("cannot make the simulated venue's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls refused it.
    #[error("cannot use the simulated venue's certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// The venue's TLS side.
pub(crate) struct Identity {
    /// The CA that clients must trust, PEM.
    pub(crate) ca_pem: String,
    /// What the acceptor uses.
    pub(crate) server: Arc<ServerConfig>,
}

impl Identity {
    /// A fresh CA and a server certificate for `localhost`, `127.0.0.1` and `::1`.
    pub(crate) fn generate() -> Result<Self, IdentityError> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "VeloZ simulated venue CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()])?;
        leaf.distinguished_name
            .push(DnType::CommonName, "VeloZ simulated venue");
        leaf.subject_alt_names.extend([
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ]);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Strict verifiers (Python 3.13's default) insist on it.
        leaf.use_authority_key_identifier_extension = true;
        let leaf_key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&leaf_key, &issuer)?;

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone(), ca_certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der())),
            )?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            ca_pem: ca_certificate.pem(),
            server: Arc::new(server),
        })
    }

    /// Writes the CA where clients are told to look; a reader never sees half a file.
    pub(crate) fn write_ca(&self, path: &Path) -> std::io::Result<()> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        std::fs::write(&partial, &self.ca_pem)?;
        std::fs::rename(&partial, path)
    }
}
