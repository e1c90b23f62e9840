//! How the exchange is set up.
//!
//! Owns: [`ExchangeConfig`] and its defaults. Does not: read files or arguments.

use veloz_core::units::E8;

use super::listed::ListedRules;

/// Everything about the exchange that is not the market's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeConfig {
    /// The accounts, at least one. Their positions number them.
    pub accounts: Vec<AccountConfig>,
    /// What one BNB costs in a quote asset where no symbol of the venue tells.
    pub bnb_prices: Vec<(String, E8)>,
    /// How much less a fee is when it is paid in BNB, as a part of one.
    pub bnb_discount: E8,
    /// Whether symbols allow self-trade prevention NONE; production's do not.
    pub allow_stp_none: bool,
    /// Rules of another venue's symbols; a symbol without has those of production's BTCUSDT, scaled with its grids.
    pub listed: Vec<ListedRules>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// For logs and for finding it.
    pub name: String,
    /// Assets and what is free of them at the start.
    pub balances: Vec<(String, E8)>,
    /// What it has at the start of every other base asset of the venue.
    pub other_bases: E8,
    /// Fee of a resting order, as a part of one.
    pub maker_fee: E8,
    /// Fee of an aggressive order, as a part of one.
    pub taker_fee: E8,
    /// Fees are paid in BNB while there is some.
    pub fees_in_bnb: bool,
}

/// 0.1 %.
const FEE: E8 = E8(100_000);
const ONE: i64 = veloz_core::units::E8_ONE;

impl Default for AccountConfig {
    fn default() -> Self {
        let of = |asset: &str, units: i64| (asset.to_owned(), E8(units * ONE));
        Self {
            name: "main".to_owned(),
            balances: vec![
                of("BTC", 10),
                of("ETH", 100),
                of("USDT", 1_000_000),
                of("BNB", 100),
            ],
            other_bases: E8(1_000 * ONE),
            maker_fee: FEE,
            taker_fee: FEE,
            fees_in_bnb: false,
        }
    }
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self {
            accounts: vec![AccountConfig::default()],
            bnb_prices: vec![("USDT".to_owned(), E8(600 * ONE))],
            bnb_discount: E8(ONE / 4),
            allow_stp_none: false,
            listed: Vec::new(),
        }
    }
}
