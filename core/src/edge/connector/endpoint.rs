//! A venue's address, parsed once: what to resolve, what to verify, what to ask for.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tungstenite::http::Uri;

/// Why a URL is no endpoint; a fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("{url}: not a URL: {why}")]
    Syntax {
        /// As configured.
        url: String,
        /// What the parser says.
        why: String,
    },
    /// A scheme other than `ws` and `wss`.
    #[error("{url}: expected ws:// or wss://")]
    Scheme {
        /// As configured.
        url: String,
    },
    /// No host, or one that no certificate can name.
    #[error("{url}: expected a host name or an IP address")]
    Host {
        /// As configured.
        url: String,
    },
}

/// A websocket endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: String,
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Endpoint {
    /// The endpoint at `url` (`wss://host[:port]/path?query`, or `ws://` without TLS), verified by `tls`.
    ///
    /// # Errors
    /// [`EndpointError`] names the URL.
    pub fn new(url: &str, tls: &Arc<ClientConfig>) -> Result<Self, EndpointError> {
        let uri: Uri = url
            .parse()
            .map_err(
                |error: tungstenite::http::uri::InvalidUri| EndpointError::Syntax {
                    url: url.to_owned(),
                    why: error.to_string(),
                },
            )?;
        let secure = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => {
                return Err(EndpointError::Scheme {
                    url: url.to_owned(),
                });
            }
        };
        let no_host = || EndpointError::Host {
            url: url.to_owned(),
        };
        let host = uri
            .host()
            .map(|host| host.trim_start_matches('[').trim_end_matches(']'))
            .filter(|host| !host.is_empty())
            .ok_or_else(no_host)?
            .to_owned();
        let tls = if secure {
            let name = ServerName::try_from(host.clone()).map_err(|_| no_host())?;
            Some((Arc::clone(tls), name))
        } else {
            None
        };
        Ok(Self {
            url: url.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            host,
            tls,
        })
    }

    /// As configured.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where none was given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to secure it and whom to expect; `None` for `ws://`.
    pub(super) fn tls(&self) -> Option<&(Arc<ClientConfig>, ServerName<'static>)> {
        self.tls.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::tls::client_config;

    #[test]
    fn urls_and_their_faults() {
        let tls = client_config(&[], &[]).expect("the web's roots");
        let parts = |url: &str| {
            Endpoint::new(url, &tls).map(|e| (e.host().to_owned(), e.port(), e.tls().is_some()))
        };
        let good = |host: &str, port, secure| Ok((host.to_owned(), port, secure));
        assert_eq!(
            parts("wss://stream.example:9443/stream?streams=a"),
            good("stream.example", 9443, true)
        );
        assert_eq!(parts("wss://api.example/"), good("api.example", 443, true));
        assert_eq!(parts("ws://localhost"), good("localhost", 80, false));
        assert_eq!(parts("wss://[::1]:8443/ws"), good("::1", 8443, true));
        assert!(matches!(
            parts("https://example/"),
            Err(EndpointError::Scheme { .. })
        ));
        assert!(matches!(
            parts("example"),
            Err(EndpointError::Scheme { .. })
        ));
        assert!(matches!(
            parts("wss://ex ample/"),
            Err(EndpointError::Syntax { .. })
        ));
        assert!(matches!(
            parts("wss://exam_ple!/"),
            Err(EndpointError::Host { .. })
        ));
    }
}
