//! The trading half of the venue as its clients see it: keys, signatures, requests, answers, user
//! data.
//!
//! Owns: everything between a request's text and the [`Exchange`], and back. Does not: match
//! orders or keep balances; the exchange does. Sans-IO: the hub tells it the time and sends what
//! it makes. Invariants: a request is checked in the venue's order, which is key, time, signature,
//! parameters, order count, and only then matched; every key belongs to an account.

pub(crate) mod agenda;
pub(crate) mod answers;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod refusals;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod signing;
pub(crate) mod words;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use veloz_core::units::E8;

use super::config::VenueConfig;
use super::exchange::{AccountConfig, AccountIndex, Event, Exchange, Execution, Report};
use super::limits::{OrderCount, OrderLimits};
use super::methods::ApiError;
use super::source::{SymbolSpec, VenueMicros};
use events::UserEvent;
use keys::{ApiKey, KeyError};
use requests::DrawIds;
use session::KeyIndex;

/// Characters of a client order id that the venue draws.
const DRAWN_ID_CHARS: usize = 22;

/// Which leaves first when an answer and the events of the same transaction are due together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum AnswerOrder {
    /// The answer, then the events.
    #[default]
    ResponseFirst,
    /// The events, then the answer.
    EventFirst,
    /// Either, drawn by the venue's seed for each transaction.
    Random,
}

/// How long things are under way inside the venue, microseconds. Exact in virtual time; a running
/// server is late by up to a millisecond, the resolution of its timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// From a request's arrival to the matching engine. A `recvWindow` that ends meanwhile
    /// refuses the request there.
    pub request_to_engine_us: u64,
    /// From the matching engine to the answer's departure.
    pub engine_to_response_us: u64,
    /// From the matching engine to the departure of user data events.
    pub engine_to_event_us: u64,
}

/// Why the trading half does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TradingError {
    /// A key that cannot be used.
    #[error("the simulated venue's API key {position}: {cause}")]
    Key {
        /// Position in the configuration, from zero.
        position: usize,
        /// What is wrong with it.
        cause: KeyError,
    },
    /// A key of nobody.
    #[error("the simulated venue's API key {position} is for the account {account}, which is none")]
    NoSuchAccount {
        /// Position in the configuration, from zero.
        position: usize,
        /// The account that it names.
        account: String,
    },
    /// Two accounts with one name.
    #[error("the simulated venue's account {0} is listed twice")]
    AccountTwice(String),
    /// An account that begins with less than nothing.
    #[error(
        "the simulated venue's account {account} begins with {amount} {asset}: expected zero or more"
    )]
    NegativeBalance {
        /// Which account.
        account: String,
        /// Which asset.
        asset: String,
        /// How much of it.
        amount: E8,
    },
    /// Two keys with one name.
    #[error("the simulated venue's API key {position} is listed twice")]
    Twice {
        /// Position in the configuration, from zero.
        position: usize,
    },
}

/// The trading half.
pub(crate) struct Trading {
    pub(crate) exchange: Exchange,
    pub(crate) limits: OrderLimits,
    keys: Vec<(ApiKey, AccountIndex)>,
    accounts: Vec<Account>,
    ids: SmallRng,
    coin: SmallRng,
    /// The latest time that the exchange has seen.
    latest: VenueMicros,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    orders: OrderCount,
    updated: VenueMicros,
}

impl Trading {
    pub(crate) fn new(config: &VenueConfig, specs: &[SymbolSpec]) -> Result<Self, TradingError> {
        check_accounts(&config.exchange.accounts)?;
        let exchange = Exchange::new(&config.exchange, specs);
        let mut keys: Vec<(ApiKey, AccountIndex)> = Vec::with_capacity(config.keys.len());
        for (position, key) in config.keys.iter().enumerate() {
            let account =
                exchange
                    .account(&key.account)
                    .ok_or_else(|| TradingError::NoSuchAccount {
                        position,
                        account: key.account.clone(),
                    })?;
            let key = ApiKey::new(key).map_err(|cause| TradingError::Key { position, cause })?;
            if keys.iter().any(|(other, _)| other.text == key.text) {
                return Err(TradingError::Twice { position });
            }
            keys.push((key, account));
        }
        Ok(Self {
            exchange,
            limits: OrderLimits {
                per_ten_seconds: config.orders_per_ten_seconds,
                per_day: config.orders_per_day,
            },
            keys,
            accounts: vec![Account::default(); config.exchange.accounts.len()],
            ids: SmallRng::seed_from_u64(config.seed),
            coin: SmallRng::seed_from_u64(!config.seed),
            latest: VenueMicros(0),
        })
    }

    /// The key of this name.
    pub(crate) fn find_key(&self, api_key: &str) -> Result<KeyIndex, ApiError> {
        if !keys::is_well_formed(api_key) {
            return Err(ApiError::ill_formed_key());
        }
        let mut keys = self.keys.iter();
        keys.position(|(key, _)| key.text == api_key)
            .map(KeyIndex)
            .ok_or_else(ApiError::rejected_key)
    }

    pub(crate) fn key(&self, key: KeyIndex) -> &ApiKey {
        &self.keys[key.0].0
    }

    pub(crate) fn account_of(&self, key: KeyIndex) -> AccountIndex {
        self.keys[key.0].1
    }

    /// All accounts.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = AccountIndex> + use<> {
        (0..self.accounts.len()).map(AccountIndex)
    }

    pub(crate) fn orders_of(&mut self, account: AccountIndex) -> &mut OrderCount {
        &mut self.accounts[account.0].orders
    }

    /// When the account's orders or balances changed last.
    pub(crate) fn updated(&self, account: AccountIndex) -> VenueMicros {
        self.accounts[account.0].updated
    }

    /// What the exchange did since the last call, counted and in order.
    pub(crate) fn take_events(&mut self) -> Vec<UserEvent> {
        let mut events = Vec::new();
        self.exchange.take_events(&mut events);
        for event in &events {
            match event {
                Event::Report(report) => self.count_first_fill(report),
                Event::Balances { account, at, .. } => self.accounts[account.0].updated = *at,
            }
        }
        events.into_iter().map(UserEvent::Exchange).collect()
    }

    fn count_first_fill(&mut self, report: &Report) {
        let account = &mut self.accounts[report.account.0];
        account.updated = report.at;
        if let (Execution::Trade, Some(fill)) = (report.execution, &report.fill)
            && report.order.executed_qty == fill.qty
        {
            account.orders.first_fill(report.at, fill.maker);
        }
    }

    /// `at`, or the latest time so far: the exchange's time does not go back when the venue is late
    /// with its own flow.
    pub(crate) fn no_earlier(&mut self, at: VenueMicros) -> VenueMicros {
        self.latest = self.latest.max(at);
        self.latest
    }

    /// Draws whether the events of a transaction go first.
    pub(crate) fn draw_event_first(&mut self) -> bool {
        self.coin.random_bool(0.5)
    }
}

fn check_accounts(accounts: &[AccountConfig]) -> Result<(), TradingError> {
    for (position, account) in accounts.iter().enumerate() {
        let mut before = accounts[..position].iter();
        if before.any(|other| other.name == account.name) {
            return Err(TradingError::AccountTwice(account.name.clone()));
        }
        let balances = account.balances.iter().cloned();
        let other = ("other base assets".to_owned(), account.other_bases);
        for (asset, amount) in balances.chain([other]) {
            if amount.0 < 0 {
                return Err(TradingError::NegativeBalance {
                    account: account.name.clone(),
                    asset,
                    amount,
                });
            }
        }
    }
    Ok(())
}

impl DrawIds for Trading {
    fn draw(&mut self) -> String {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..DRAWN_ID_CHARS)
            .map(|_| char::from(ALPHABET[self.ids.random_range(0..ALPHABET.len())]))
            .collect()
    }
}
