//! Which web pages of other origins may read answers.
//!
//! Owns: [`Cors`]. Invariant: nobody, unless configuration names them; "everybody" and credentials do
//! not go together, because then any page could act with what the browser knows.

use axum::http::{HeaderName, HeaderValue, Method, header};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The web pages that may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    credentials: bool,
    max_age: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    /// These; empty for nobody.
    Of(Vec<HeaderValue>),
    /// All.
    All,
}

/// Why a list of origins is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// Not `scheme://host[:port]`.
    #[error("{0:?} is no origin: scheme://host[:port] is expected, or * alone")]
    NotAnOrigin(String),
    /// Everybody, with credentials.
    #[error("the origin * does not go with credentials: name the origins")]
    AllWithCredentials,
}

impl Default for Cors {
    /// Nobody.
    fn default() -> Self {
        Self {
            origins: Origins::Of(Vec::new()),
            credentials: false,
            max_age: Duration::from_hours(24),
        }
    }
}

impl Cors {
    /// These origins, or all for `*` alone.
    ///
    /// # Errors
    /// [`CorsError`] names what is wrong.
    pub fn of(origins: &[String], credentials: bool) -> Result<Self, CorsError> {
        let origins = if origins == ["*"] {
            Origins::All
        } else {
            let named: Result<Vec<_>, _> = origins
                .iter()
                .map(|text| origin(text).ok_or_else(|| CorsError::NotAnOrigin(text.clone())))
                .collect();
            Origins::Of(named?)
        };
        if credentials && origins == Origins::All {
            return Err(CorsError::AllWithCredentials);
        }
        Ok(Self {
            origins,
            credentials,
            ..Self::default()
        })
    }

    /// The same, with how long a browser may remember an answer to its preflight: a day if not said.
    #[must_use]
    pub fn remembered_for(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    /// Whether every page may read.
    pub fn is_everybody(&self) -> bool {
        self.origins == Origins::All
    }

    /// Whether this origin is named; "everybody" names nobody.
    pub fn names(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Of(origins) => origins.contains(origin),
            Origins::All => false,
        }
    }

    /// The layer that answers preflights; `None` when nobody may read, and then nothing is answered.
    pub fn layer(&self) -> Option<CorsLayer> {
        let origin = match &self.origins {
            Origins::Of(origins) if origins.is_empty() => return None,
            Origins::Of(origins) => AllowOrigin::list(origins.iter().cloned()),
            Origins::All => AllowOrigin::any(),
        };
        Some(
            CorsLayer::new()
                .allow_origin(origin)
                .allow_credentials(self.credentials)
                .allow_methods([Method::GET, Method::POST, Method::DELETE])
                .allow_headers([
                    header::CONTENT_TYPE,
                    header::AUTHORIZATION,
                    HeaderName::from_static("x-api-key"),
                    HeaderName::from_static("x-request-id"),
                    HeaderName::from_static("x-correlation-id"),
                    HeaderName::from_static("idempotency-key"),
                    HeaderName::from_static("traceparent"),
                    HeaderName::from_static("tracestate"),
                    HeaderName::from_static("last-event-id"),
                ])
                .expose_headers([
                    header::RETRY_AFTER,
                    HeaderName::from_static("x-request-id"),
                    HeaderName::from_static("x-correlation-id"),
                    HeaderName::from_static("idempotent-replayed"),
                    HeaderName::from_static("traceparent"),
                    HeaderName::from_static("x-ratelimit-limit"),
                    HeaderName::from_static("x-ratelimit-remaining"),
                    HeaderName::from_static("x-ratelimit-reset"),
                ])
                .max_age(self.max_age),
        )
    }
}

/// `scheme://host[:port]` without path, in lower case as browsers send it.
fn origin(text: &str) -> Option<HeaderValue> {
    let (scheme, authority) = text.split_once("://")?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\*\"<> ".contains(&byte);
    let fits = matches!(scheme, "http" | "https")
        && !authority.is_empty()
        && authority.bytes().all(plain)
        && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    fits.then(|| HeaderValue::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(origins: &[&str], credentials: bool) -> Result<Cors, CorsError> {
        let origins: Vec<_> = origins.iter().map(|&text| text.to_owned()).collect();
        Cors::of(&origins, credentials)
    }

    #[test]
    fn origins_are_exact_and_everybody_excludes_credentials() {
        let cors = of(&["https://ui.example", "http://localhost:3000"], true).expect("two origins");
        assert!(cors.names(&HeaderValue::from_static("http://localhost:3000")));
        assert!(!cors.names(&HeaderValue::from_static("http://localhost:3001")));
        assert!(!cors.is_everybody());
        assert!(of(&["*"], false).expect("everybody").is_everybody());
        assert_eq!(of(&["*"], true), Err(CorsError::AllWithCredentials));
        for bad in [
            "ui.example",
            "https://ui.example/",
            "ftp://a",
            "https://",
            "https://A",
            "https://*.a",
            "null",
        ] {
            assert_eq!(
                of(&[bad], false),
                Err(CorsError::NotAnOrigin(bad.to_owned()))
            );
        }
        assert!(of(&["*", "https://a"], false).is_err());
    }
}
