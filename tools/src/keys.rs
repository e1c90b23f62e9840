//! The key of the trading account: where it comes from, and whether one is needed.
//!
//! Owns: [`Keys`], and the rule which configurations trade with them. Does not: sign
//! (`veloz_core::wire::sign`), or keep anything else than the key and its signer. Invariant: no text that this
//! module makes shows a secret.

use crate::config::private_file::{self, PrivateFileFault};
use crate::config::secret::Secret;
use crate::config::trading::StrategyKind;
use crate::config::{Config, ExecutionMode, VenueSection};
use std::path::{Path, PathBuf};
use veloz_core::wire::sign::{KeyError, Signer};

/// What signs the requests of one account. A second owner loads its own.
#[derive(Debug)]
pub struct Keys {
    api_key: Secret,
    signer: Signer,
}

impl Keys {
    /// A key with its signer.
    pub fn new(api_key: &str, signer: Signer) -> Self {
        Self {
            api_key: Secret::new(api_key),
            signer,
        }
    }

    /// The configured key; `None` when nothing of one is configured.
    ///
    /// # Errors
    /// [`KeyFault`]: half of it is missing, or a file of it cannot be used.
    pub fn load(venue: &VenueSection) -> Result<Option<Self>, KeyFault> {
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
        let signer = match (pem, secret) {
            (Some(path), _) => signer_of_file(path)?,
            (None, Some(secret)) => {
                Signer::hmac(secret.expose().as_bytes()).map_err(KeyFault::Secret)?
            }
            (None, None) => return Err(KeyFault::NoSecret),
        };
        Ok(Some(Self {
            api_key: venue.api_key.clone(),
            signer,
        }))
    }

    /// The key as requests carry it.
    pub fn api_key(&self) -> &str {
        self.api_key.expose()
    }

    /// Both, for an owner that keeps them.
    pub fn into_parts(self) -> (Secret, Signer) {
        (self.api_key, self.signer)
    }

    /// What signs with it.
    pub fn signer(&self) -> &Signer {
        &self.signer
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
    At(Keys),
}

impl Account {
    /// The account that the configuration means. Without keys the market can be followed, but nothing trades.
    ///
    /// # Errors
    /// [`KeyFault`]: as [`Keys::load`], or a strategy has no keys to trade with.
    pub fn of(config: &Config) -> Result<Self, KeyFault> {
        match config.venue.execution_mode {
            ExecutionMode::SimEngine => return Ok(Self::Simulated),
            ExecutionMode::BinanceTestnetSpot | ExecutionMode::BinanceSpot => {}
        }
        match (Keys::load(&config.venue)?, config.strategy()) {
            (Some(keys), _) => Ok(Self::At(keys)),
            (None, StrategyKind::None) => Ok(Self::MarketDataOnly),
            (None, strategy @ (StrategyKind::MarketMaker | StrategyKind::Imbalance)) => {
                Err(KeyFault::NothingToTradeWith { strategy })
            }
        }
    }
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A file that a key names cannot be used.
    #[error(transparent)]
    File(#[from] PrivateFileFault),
    /// The PEM file holds something else.
    #[error("`venue.private_key_file` {}: {fault}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: KeyError,
    },
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
        "`strategy.kind` is {}, which needs keys of the account, and there are none: set VELOZ_BINANCE_API_KEY_FILE and venue.private_key_file (or VELOZ_BINANCE_API_SECRET_FILE), or strategy.kind = \"none\" to follow the market only",
        strategy.label()
    )]
    NothingToTradeWith {
        /// Which one.
        strategy: StrategyKind,
    },
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
        Account::of(&with(variables, flags).expect("valid").config)
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

        let Account::At(keys) = account(&[key], &[&set_pem]).expect("a key") else {
            panic!("it has a key");
        };
        assert!(keys.signer().can_log_on());
        assert_eq!(keys.api_key(), CANARY);
        let Account::At(keys) = account(&[key, secret], &[]).expect("a key") else {
            panic!("it has a key");
        };
        assert!(!keys.signer().can_log_on());

        let cases = [
            (account(&[key], &[]), "its other half is not"),
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
            let text = refused.expect_err("half a key").to_string();
            assert!(text.contains(expected), "{text}");
        }
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
        assert!(matches!(Account::of(&simulated), Ok(Account::Simulated)));
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
        let account = Account::of(&loaded.config).expect("a key");
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
