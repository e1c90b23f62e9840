//! HTTP for the exporter of spans: a blocking client, because the exporter has a thread of its own.
//!
//! Owns: [`Client`]. Does not: retry or count. TLS is rustls with this project's one provider and
//! Mozilla's roots; a redirect is not followed, because it would carry the headers elsewhere.

use axum::body::Bytes;
use axum::http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{TlsConfig, TlsProvider};

/// Bytes of a collector's answer that are read; it has little to say.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// The client.
#[derive(Debug)]
pub(super) struct Client(ureq::Agent);

impl Client {
    /// A client whose requests take at most `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .build();
        Self(config.into())
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        // Blocks the exporter's thread, which does nothing else.
        let answer = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}
