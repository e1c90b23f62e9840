//! The key of the trading account: where it comes from, and whether one is needed.
//!
//! Owns: [`credentials`], [`credentials_at_venue`], and [`Account`], which says what a configuration trades with. Does not: sign
//! (`veloz_core::wire::sign`), or keep anything. Invariant: no text that this module makes shows a secret.

use crate::config::private_file::{self, PrivateFileFault};
use crate::config::trading::StatePlace;
use crate::config::{Config, ExecutionMode, VenueSection};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use veloz_core::strategy::StrategyConfig;
use veloz_core::venue::binance::order_entry::{ApiKey, ApiKeyError, Credentials};
use veloz_core::wire::sign::{KeyError, Signer};
use veloz_exporter::api::{EXCHANGE_KEYS_ENDING, signer};

/// The configured key with what signs for it; `None` when nothing of one is configured. Each owner loads its
/// own.
///
/// # Errors
/// [`KeyFault`]: half of it is missing, or cannot be used.
pub fn credentials(venue: &VenueSection) -> Result<Option<Credentials>, KeyFault> {
    let pem = (!venue.private_key_file.as_os_str().is_empty())
        .then_some(venue.private_key_file.as_path());
    let secret = venue.api_secret.is_set().then_some(&venue.api_secret);
    if !venue.api_key.is_set() {
        return match (pem, secret) {
            (None, None) => Ok(None),
            (Some(_), _) => Err(KeyFault::NoKey {
                other: "venue.private_key_file",
            }),
            (None, Some(_)) => Err(KeyFault::NoKey {
                other: "venue.api_secret",
            }),
        };
    }
    let api_key = ApiKey::new(venue.api_key.expose()).map_err(KeyFault::Key)?;
    let signer = match (pem, secret) {
        (Some(path), _) => signer_of_file(path)?,
        (None, Some(secret)) => {
            Signer::hmac(secret.expose().as_bytes()).map_err(KeyFault::Secret)?
        }
        (None, None) => return Err(KeyFault::NoSecret),
    };
    Ok(Some(Credentials { api_key, signer }))
}

/// What is read of the file of the API's key.
#[derive(Deserialize)]
struct Written {
    api_key: String,
    api_secret: String,
}

/// The key that was written over the API, when the configuration names none.
///
/// # Errors
/// [`KeyFault`]: it cannot be read or used.
fn written_key(config: &Config) -> Result<Option<Credentials>, KeyFault> {
    let place = config.state_place(|name| std::env::var(name).ok());
    let Ok(StatePlace::Directory(directory)) = place else {
        return Ok(None);
    };
    let file = format!("{}.{EXCHANGE_KEYS_ENDING}", config.account.instance);
    let path = directory.join(file);
    if !path.exists() {
        return Ok(None);
    }
    let text = private_file::read(&path)?;
    // The parser's words may repeat a part of the text.
    let written: Option<Written> =
        serde_json::from_slice(&text).map_err(|_| KeyFault::NoKeyFile(path))?;
    let Some(written) = written else {
        return Ok(None);
    };
    Ok(Some(Credentials {
        api_key: ApiKey::new(&written.api_key).map_err(KeyFault::Key)?,
        signer: signer(written.api_secret.as_bytes()).map_err(KeyFault::Secret)?,
    }))
}

/// The key that orders go to the venue with: the configured one, else the one that was written over the API.
///
/// # Errors
/// [`KeyFault`]: as [`credentials`], or the written one cannot be used.
pub fn credentials_at_venue(config: &Config) -> Result<Option<Credentials>, KeyFault> {
    match credentials(&config.venue)? {
        Some(credentials) => Ok(Some(credentials)),
        None => written_key(config),
    }
}

/// The signer of an Ed25519 key in a PEM file.
fn signer_of_file(path: &Path) -> Result<Signer, KeyFault> {
    let text = private_file::read(path)?;
    Signer::from_pem(&text).map_err(|fault| KeyFault::Pem {
        path: path.to_owned(),
        fault,
    })
}

/// Whose account orders go to.
#[derive(Debug)]
pub enum Account {
    /// One at the simulated venue of this process.
    Simulated,
    /// Nobody's: the market is followed and nothing is sent.
    MarketDataOnly,
    /// The one of this key.
    Of(Credentials),
}

impl Account {
    /// The account that the configuration means. Without keys the market can be followed, but nothing trades.
    ///
    /// # Errors
    /// [`KeyFault`]: as [`credentials`], or a strategy has no keys to trade with.
    pub fn configured(config: &Config) -> Result<Self, KeyFault> {
        match config.venue.execution_mode {
            ExecutionMode::SimEngine => return Ok(Self::Simulated),
            ExecutionMode::BinanceTestnetSpot | ExecutionMode::BinanceSpot => {}
        }
        if let Some(credentials) = credentials_at_venue(config)? {
            return Ok(Self::Of(credentials));
        }
        match config.strategy() {
            StrategyConfig::None => Ok(Self::MarketDataOnly),
            StrategyConfig::MarketMaker(_) => Err(KeyFault::NothingToTradeWith("market_maker")),
            StrategyConfig::Imbalance(_) => Err(KeyFault::NothingToTradeWith("imbalance")),
        }
    }
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A file that a key names cannot be used.
    #[error(transparent)]
    File(#[from] PrivateFileFault),
    /// The file of the key that was written over the API holds something else.
    #[error("{}: this is no file of keys; remove it and write the key anew", .0.display())]
    NoKeyFile(PathBuf),
    /// The PEM file holds something else.
    #[error("`venue.private_key_file` {}: {fault}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: KeyError,
    },
    /// The key cannot be one.
    #[error("`venue.api_key`: {0}")]
    Key(ApiKeyError),
    /// The secret cannot be used.
    #[error("`venue.api_secret`: {0}")]
    Secret(KeyError),
    /// A secret without the key that it belongs to.
    #[error(
        "`{other}` is set and `venue.api_key` is not: set VELOZ_BINANCE_API_KEY_FILE to a file with the key that it belongs to"
    )]
    NoKey {
        /// What is set.
        other: &'static str,
    },
    /// A key without its secret.
    #[error(
        "`venue.api_key` is set and its other half is not: name an Ed25519 private key in venue.private_key_file, or the secret's file in VELOZ_BINANCE_API_SECRET_FILE"
    )]
    NoSecret,
    /// A strategy that could not trade.
    #[error(
        "`strategy.kind` is {0}, which needs keys of the account, and there are none: set VELOZ_BINANCE_API_KEY_FILE and venue.private_key_file (or VELOZ_BINANCE_API_SECRET_FILE), or strategy.kind = \"none\" to follow the market only"
    )]
    NothingToTradeWith(&'static str),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{ConfigError, Loaded, load};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    /// The illustrative key that the venue's FIX pages print.
    pub(crate) const PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u
-----END PRIVATE KEY-----
";
    /// Found in no output.
    const CANARY: &str = "canary7d1f0a93canary";
    const LIVE: &[&str] = &["venue.source=binance", "venue.execution_mode=binance_spot"];

    fn with(variables: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, ConfigError> {
        let flags: Vec<String> = LIVE.iter().chain(flags).map(|&flag| flag.into()).collect();
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        load(&[], variables, &flags)
    }

    fn account(variables: &[(&str, &str)], flags: &[&str]) -> Result<Account, KeyFault> {
        Account::configured(&with(variables, flags).expect("valid").config)
    }

    fn private(directory: &Path, name: &str, content: &str) -> String {
        let path = directory.join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
        path.to_str().expect("UTF-8").to_owned()
    }

    #[test]
    fn a_key_has_a_private_key_or_a_secret() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let pem = private(directory.path(), "pem", PEM);
        let set_pem = format!("venue.private_key_file={pem}");
        let key = ("VELOZ_BINANCE_API_KEY", CANARY);
        let secret = ("VELOZ_BINANCE_API_SECRET", CANARY);

        let Account::Of(keys) = account(&[key], &[&set_pem]).expect("a key") else {
            panic!("it has a key");
        };
        assert!(keys.signer.can_log_on());
        assert_eq!(keys.api_key.as_bytes(), CANARY.as_bytes());
        let Account::Of(keys) = account(&[key, secret], &[]).expect("a key") else {
            panic!("it has a key");
        };
        assert!(!keys.signer.can_log_on());

        let cases = [
            (account(&[key], &[]), "its other half is not"),
            (
                account(&[("VELOZ_BINANCE_API_KEY", "k?y"), secret], &[]),
                "`venue.api_key`: its byte 1 is none of",
            ),
            (
                account(&[secret], &[]),
                "`venue.api_secret` is set and `venue.api_key` is not",
            ),
            (
                account(&[], &[&set_pem]),
                "`venue.private_key_file` is set and `venue.api_key` is not",
            ),
        ];
        for (refused, expected) in cases {
            let text = refused.expect_err("not a whole key").to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_key_that_was_written_over_the_api_is_used_where_none_is_configured() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let state = format!("state.dir={}", directory.path().display());
        let name = format!("vz.{EXCHANGE_KEYS_ENDING}");
        let instance = "account.instance=vz";
        let of = |variables: &[(&str, &str)]| account(variables, &[&state, instance]);
        assert!(matches!(of(&[]), Ok(Account::MarketDataOnly)));
        for (text, bytes) in [
            (
                format!(r#"{{"exchange":"binance","api_key":"hmac","api_secret":"{CANARY}"}}"#),
                "hmac",
            ),
            (
                serde_json::json!({ "api_key": "pem", "api_secret": PEM }).to_string(),
                "pem",
            ),
        ] {
            private(directory.path(), &name, &text);
            let Account::Of(keys) = of(&[]).expect("a key") else {
                panic!("it has a key");
            };
            assert_eq!(keys.api_key.as_bytes(), bytes.as_bytes());
            assert_eq!(keys.signer.can_log_on(), bytes == "pem");
            let configured = [
                ("VELOZ_BINANCE_API_KEY", "configured"),
                ("VELOZ_BINANCE_API_SECRET", CANARY),
            ];
            let Account::Of(keys) = of(&configured).expect("a key") else {
                panic!("it has a key");
            };
            assert_eq!(keys.api_key.as_bytes(), b"configured");
        }
        private(directory.path(), &name, "null");
        assert!(matches!(of(&[]), Ok(Account::MarketDataOnly)));
        private(directory.path(), &name, CANARY);
        let text = of(&[]).expect_err("no file of keys").to_string();
        assert!(
            text.contains("no file of keys") && !text.contains(CANARY),
            "{text}"
        );
    }

    #[test]
    fn without_keys_the_market_is_followed_and_nothing_trades() {
        assert!(matches!(account(&[], &[]), Ok(Account::MarketDataOnly)));
        for strategy in ["market_maker", "imbalance"] {
            let refused = account(&[], &[&format!("strategy.kind={strategy}")])
                .expect_err("nothing to trade with");
            let text = refused.to_string();
            assert!(text.contains(strategy), "{text}");
            assert!(text.contains("VELOZ_BINANCE_API_KEY_FILE"), "{text}");
        }
        let simulated = load(&[], [], &[]).expect("valid").config;
        assert!(matches!(
            Account::configured(&simulated),
            Ok(Account::Simulated)
        ));
    }

    #[test]
    fn what_is_no_ed25519_key_of_ours_alone_is_refused_in_one_sentence() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n";
        let rsa = private(directory.path(), "rsa", rsa);
        let open = private(directory.path(), "open", PEM);
        fs::set_permissions(&open, Permissions::from_mode(0o644)).expect("set");
        let text = private(directory.path(), "text", CANARY);
        let cases = [
            (rsa, "it is an RSA private key; expected an Ed25519"),
            (open, "its mode is 644"),
            (text, "it holds no PEM section"),
            ("/no/such/key".to_owned(), "/no/such/key: cannot be read"),
        ];
        for (path, expected) in cases {
            let flag = format!("venue.private_key_file={path}");
            let refused = account(&[("VELOZ_BINANCE_API_KEY", "key")], &[&flag])
                .expect_err("refused")
                .to_string();
            assert!(refused.contains(expected), "{refused}");
            assert!(refused.contains(&path), "{refused}");
            assert!(!refused.contains('\n'), "{refused}");
        }
    }

    #[test]
    fn no_text_shows_a_secret() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let secret = private(directory.path(), "secret", CANARY);
        let loaded = with(
            &[
                ("VELOZ_BINANCE_API_KEY", CANARY),
                ("VELOZ_BINANCE_API_SECRET_FILE", &secret),
            ],
            &[],
        )
        .expect("valid");
        let account = Account::configured(&loaded.config).expect("a key");
        for text in [
            format!("{account:?}"),
            format!("{loaded:?}"),
            loaded.print(),
        ] {
            assert!(!text.contains(CANARY), "{text}");
        }
        fs::set_permissions(&secret, Permissions::from_mode(0o640)).expect("set");
        let refused = with(&[("VELOZ_BINANCE_API_SECRET_FILE", &secret)], &[])
            .map(|loaded| loaded.print())
            .expect_err("exposed")
            .to_string();
        assert!(refused.contains("its mode is 640"), "{refused}");
        assert!(
            refused.contains("VELOZ_BINANCE_API_SECRET_FILE"),
            "{refused}"
        );
        assert!(!refused.contains(CANARY), "{refused}");
    }
}
