//! `[http]`: the server, and what it becomes for the sidecar.
//!
//! Owns: [`HttpSection`] and the rules between its keys. Does not: open a port.

use super::auth::AuthSection;
use super::layers::{Fault, Origin};
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;
use veloz_exporter::http::addresses::{AddressRules, Network};
use veloz_exporter::http::cors::Cors;
use veloz_exporter::http::ports::HttpConfig;
use veloz_exporter::http::rate::RateRule;
use veloz_exporter::http::server::ServerLimits;
use veloz_exporter::http::tls::TlsFiles;

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of its own, and none excludes another"
)]
pub struct HttpSection {
    /// Address to listen on.
    pub address: IpAddr,
    /// Port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Lets `address` be other than loopback although nobody logs in.
    pub danger_listen_without_auth: bool,
    /// Where metrics and health are served too; empty for nowhere.
    pub metrics_address: String,
    /// Connections open at once.
    pub connections_max: usize,
    /// Connections open at once from one address other than loopback.
    pub connections_per_address_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Requests at once of one client.
    pub rate_limit_capacity: NonZeroU32,
    /// Requests a second of one client that go on for ever.
    pub rate_limit_refill_per_second: PerSecond,
    /// Whether a user is one client wherever he comes from.
    pub rate_limit_per_user: bool,
    /// Networks that may connect; empty for all.
    pub allowed_addresses: Vec<String>,
    /// Networks that may not.
    pub denied_addresses: Vec<String>,
    /// Whether private networks may connect.
    pub private_addresses: bool,
    /// Origins of web pages that may read.
    pub cors_origins: Vec<String>,
    /// Whether those pages' requests may carry what the browser knows.
    pub cors_credentials: bool,
    /// How long a browser may remember what it was told about origins, in seconds.
    pub cors_max_age_s: u32,
    /// Whether connections are encrypted.
    pub tls_enabled: bool,
    /// PEM file of the certificate chain.
    pub tls_cert: PathBuf,
    /// PEM file of its private key.
    pub tls_key: PathBuf,
    /// PEM file of the authorities of client certificates.
    pub tls_client_ca: PathBuf,
    /// Whether a client needs a certificate.
    pub tls_client_cert: bool,
}

/// A rate in thousandths a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerSecond(pub NonZeroU32);

impl PerSecond {
    /// The rate that a number means: 0.001 to 10000 a second.
    pub fn of(value: &Value) -> Option<Self> {
        let thousandths = match value {
            Value::Integer(number) => number.checked_mul(1_000)?,
            Value::Float(number) if number.is_finite() => (number * 1_000.0).round() as i64,
            _ => return None,
        };
        let thousandths = u32::try_from(thousandths).ok()?;
        NonZeroU32::new(thousandths)
            .filter(|rate| rate.get() <= 10_000_000)
            .map(Self)
    }
}

impl<'de> Deserialize<'de> for PerSecond {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(&Value::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("not a rate"))
    }
}

impl HttpSection {
    /// Address and port together.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    fn monitoring(&self) -> Option<SocketAddr> {
        let text = &self.metrics_address;
        (!text.is_empty()).then(|| text.parse().expect("checked with the key"))
    }

    fn cors(&self) -> Cors {
        Cors::of(&self.cors_origins, self.cors_credentials)
            .expect("checked with the keys")
            .remembered_for(Duration::from_secs(self.cors_max_age_s.into()))
    }

    /// What the sidecar is told.
    pub fn server(&self) -> HttpConfig {
        let networks = |texts: &[String]| {
            texts
                .iter()
                .map(|text| Network::parse(text).expect("checked with the key"))
                .collect()
        };
        HttpConfig {
            bind: self.socket_address(),
            monitoring: self.monitoring(),
            danger_remote_without_auth: self.danger_listen_without_auth,
            tls: self.tls_enabled.then(|| TlsFiles {
                certificates: self.tls_cert.clone(),
                key: self.tls_key.clone(),
                client_ca: self.tls_client_cert.then(|| self.tls_client_ca.clone()),
            }),
            addresses: AddressRules {
                allowed: networks(&self.allowed_addresses),
                denied: networks(&self.denied_addresses),
                private_allowed: self.private_addresses,
            },
            cors: self.cors(),
            rate: RateRule {
                capacity: self.rate_limit_capacity,
                refill_per_1000_s: self.rate_limit_refill_per_second.0,
            },
            rate_per_user: self.rate_limit_per_user,
            body_bytes_max: self.body_bytes_max,
            limits: ServerLimits {
                connections_max: self.connections_max,
                per_address_max: self.connections_per_address_max,
                ..ServerLimits::default()
            },
        }
    }

    /// Rules between the keys.
    pub(super) fn contradictions(
        &self,
        auth: &AuthSection,
        origin: impl Fn(&str) -> Origin,
    ) -> Vec<Fault> {
        let mut found = Vec::new();
        let mut fault = |key: &str, text: String| {
            let sentence = format!("{}: `http.{key}` {text}", origin(&format!("http.{key}")));
            found.push(Fault::Contradiction(sentence));
        };
        let guarded = auth.enabled || self.danger_listen_without_auth;
        let addresses = [
            ("address", Some(self.socket_address()), guarded),
            (
                "metrics_address",
                self.monitoring(),
                guarded || auth.scrape_token.is_set(),
            ),
        ];
        for (key, address, guarded) in addresses {
            let remote = address.filter(|address| !address.ip().to_canonical().is_loopback());
            if let Some(address) = remote
                && !guarded
            {
                let other = match key {
                    "metrics_address" => ", give scrapers a token (auth.scrape_token)",
                    _ => "",
                };
                fault(
                    key,
                    format!(
                        "is {}, expected a loopback address: nobody logs in to this server. Turn auth.enabled on{other}, or put an authenticating proxy in front of it and set http.danger_listen_without_auth = true",
                        address.ip()
                    ),
                );
            }
        }
        if self.tls_enabled {
            for (key, path) in [("tls_cert", &self.tls_cert), ("tls_key", &self.tls_key)] {
                if path.as_os_str().is_empty() {
                    fault(
                        key,
                        "is empty, expected a PEM file because http.tls_enabled is true".to_owned(),
                    );
                }
            }
        } else if self.tls_client_cert {
            fault(
                "tls_client_cert",
                "is true while http.tls_enabled is false, expected both or neither".to_owned(),
            );
        }
        if self.tls_client_cert && self.tls_client_ca.as_os_str().is_empty() {
            fault(
                "tls_client_ca",
                "is empty, expected a PEM file because http.tls_client_cert is true".to_owned(),
            );
        }
        let everybody = self.cors_origins == ["*"];
        if everybody && self.cors_credentials {
            fault("cors_credentials", "is true while http.cors_origins is \"*\", expected named origins: any web page could act with what the browser knows".to_owned());
        }
        if everybody && !auth.enabled {
            fault("cors_origins", "is \"*\", expected named origins: nobody logs in to this server, so any web page could read everything".to_owned());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    #[test]
    fn the_built_in_configuration_is_the_servers_default() {
        let config = load_text("test.toml", "").expect("valid").config;
        assert_eq!(config.http.server(), HttpConfig::default());
    }

    #[test]
    fn every_key_reaches_the_server() {
        let text = "[http]\nport = 1\nmetrics_address = \"127.0.0.1:9100\"\nconnections_max = 7\n\
            connections_per_address_max = 3\nbody_bytes_max = 4096\nrate_limit_capacity = 5\n\
            rate_limit_refill_per_second = 0.5\nrate_limit_per_user = false\nallowed_addresses = [\"10.0.0.0/8\", \"127.0.0.1\"]\n\
            denied_addresses = [\"10.1.0.0/16\"]\nprivate_addresses = false\n\
            cors_origins = [\"https://ui.example\"]\ncors_credentials = true\ncors_max_age_s = 60\n\
            tls_enabled = true\ntls_cert = \"c\"\ntls_key = \"k\"\ntls_client_ca = \"a\"\n\
            tls_client_cert = true\n";
        let server = load_text("test.toml", text)
            .expect("valid")
            .config
            .http
            .server();
        assert_eq!(server.bind.port(), 1);
        assert_eq!(server.monitoring, "127.0.0.1:9100".parse().ok());
        assert_eq!(server.limits.connections_max, 7);
        assert_eq!(server.limits.per_address_max, 3);
        assert_eq!(server.body_bytes_max, 4_096);
        assert_eq!(server.rate.capacity.get(), 5);
        assert_eq!(server.rate.refill_per_1000_s.get(), 500);
        assert!(!server.rate_per_user);
        let permit = |text: &str| server.addresses.permit(text.parse().expect("an address"));
        assert!(permit("127.0.0.1") && !permit("10.1.0.1") && !permit("10.2.0.1"));
        let cors = Cors::of(&["https://ui.example".to_owned()], true).expect("an origin");
        assert_eq!(server.cors, cors.remembered_for(Duration::from_mins(1)));
        let tls = server.tls.expect("asked for");
        assert_eq!(tls.client_ca, Some("a".into()));
        assert_eq!((tls.certificates, tls.key), ("c".into(), "k".into()));
    }

    #[test]
    fn keys_that_contradict_each_other_are_named() {
        let cases = [
            (
                "address = \"0.0.0.0\"",
                "`http.address` is 0.0.0.0, expected a loopback",
            ),
            (
                "metrics_address = \"0.0.0.0:9100\"",
                "`http.metrics_address` is 0.0.0.0, expected a loopback",
            ),
            ("tls_enabled = true", "`http.tls_cert` is empty"),
            (
                "tls_client_cert = true",
                "`http.tls_client_cert` is true while",
            ),
            ("cors_origins = [\"*\"]", "`http.cors_origins` is \"*\""),
            (
                "cors_origins = [\"*\"]\ncors_credentials = true",
                "`http.cors_credentials` is true",
            ),
        ];
        for (text, expected) in cases {
            let refused = load_text("test.toml", &format!("[http]\n{text}\n"))
                .map(|loaded| loaded.print())
                .expect_err("refused")
                .to_string();
            assert!(refused.contains(expected), "{refused}\nlacks\n{expected}");
        }
    }

    #[test]
    fn identities_or_a_token_open_what_is_closed_without() {
        for text in [
            "[auth]\nenabled = true\n[http]\naddress = \"0.0.0.0\"\n",
            "[auth]\nenabled = true\n[http]\nmetrics_address = \"0.0.0.0:9100\"\n",
            "[auth]\nenabled = true\n[http]\ncors_origins = [\"*\"]\n",
            "[http]\naddress = \"0.0.0.0\"\ndanger_listen_without_auth = true\n",
        ] {
            assert!(load_text("test.toml", text).is_ok(), "{text}");
        }
        let variables = [("VELOZ_AUTH__SCRAPE_TOKEN", "a-token-of-the-tests")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()));
        let flags = ["http.metrics_address=0.0.0.0:9100".to_owned()];
        assert!(crate::config::load(&[], variables.clone(), &flags).is_ok());
        let flags = ["http.address=0.0.0.0".to_owned()];
        assert!(
            crate::config::load(&[], variables, &flags).is_err(),
            "scrapers only"
        );
    }
}
