//! Which events a client wants.
//!
//! Owns: [`Filter`], read from a query. Does not: know the history. `events` and `filter` (an older name) list
//! kinds, `symbols` lists instruments in either case, each separated by commas; what is not named is not limited. An
//! event about no instrument (an account, the engine) passes any list of symbols. A name that is none is
//! refused: a client that waits for an event that cannot come is worse off than one that is told.

use super::event::{Class, Kind};
use axum::extract::Query;
use axum::http::Uri;
use veloz_core::instrument::InstrumentIndex;
use veloz_core::limits::INSTRUMENTS_MAX;

/// A set of kinds and a set of instruments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Bit `1 << kind` for each kind.
    kinds: u64,
    /// `None` for all.
    instruments: Option<Box<[bool; INSTRUMENTS_MAX]>>,
}

const _: () = assert!(Kind::ALL.len() <= 64, "kinds fit the bits of the set");

/// What is wrong with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadQuery {
    /// The parameter.
    pub(super) parameter: &'static str,
    /// What it must be.
    pub(super) expected: &'static str,
}

impl Filter {
    /// No limit.
    pub(super) fn everything() -> Self {
        Self {
            kinds: u64::MAX,
            instruments: None,
        }
    }

    /// What `query` asks for; `find` knows the symbols.
    pub(super) fn parse(
        query: &str,
        find: &dyn Fn(&str) -> Option<InstrumentIndex>,
    ) -> Result<Self, BadQuery> {
        let mut filter = Self::everything();
        for (parameter, value) in pairs(query)? {
            match parameter.as_str() {
                "events" | "filter" => {
                    let mut kinds = 0;
                    for name in value.split(',').map(str::trim) {
                        let kind = Kind::ALL
                            .into_iter()
                            .find(|kind| kind.label() == name)
                            .ok_or(BadQuery {
                                parameter: if parameter == "events" {
                                    "events"
                                } else {
                                    "filter"
                                },
                                expected: "a list of event types, separated by commas",
                            })?;
                        kinds |= bit(kind);
                    }
                    filter.kinds &= kinds;
                }
                "symbols" => {
                    let mut instruments = Box::new([false; INSTRUMENTS_MAX]);
                    for symbol in value.split(',').map(str::trim) {
                        let instrument = find(&symbol.to_ascii_uppercase()).ok_or(BadQuery {
                            parameter: "symbols",
                            expected: "a list of symbols that the engine follows, separated by commas",
                        })?;
                        instruments[instrument.as_usize()] = true;
                    }
                    filter.instruments = Some(instruments);
                }
                // `last_id` is the route's; a ticket is the login's; browsers add what keeps caches off.
                _ => {}
            }
        }
        Ok(filter)
    }

    /// Whether any kind of this class passes.
    pub(super) fn wants_class(&self, class: Class) -> bool {
        Kind::ALL
            .into_iter()
            .any(|kind| kind.class() == class && self.kinds & bit(kind) != 0)
    }

    /// Whether an event passes.
    pub(super) fn accepts(&self, kind: Kind, instrument: Option<InstrumentIndex>) -> bool {
        let named = match (&self.instruments, instrument) {
            (Some(wanted), Some(instrument)) => wanted[instrument.as_usize()],
            (None, _) | (_, None) => true,
        };
        named && self.kinds & bit(kind) != 0
    }
}

const fn bit(kind: Kind) -> u64 {
    1 << kind as u8
}

/// The query's pairs, decoded.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, BadQuery> {
    let bad = BadQuery {
        parameter: "query",
        expected: "key=value pairs, percent-encoded",
    };
    let uri = Uri::builder()
        .path_and_query(format!("/?{query}"))
        .build()
        .map_err(|_| bad)?;
    let Query(pairs) = Query::try_from_uri(&uri).map_err(|_| bad)?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(symbol: &str) -> Option<InstrumentIndex> {
        ["BTCUSDT", "ETHUSDT"]
            .iter()
            .position(|known| *known == symbol)
            .map(|position| InstrumentIndex(position as u16))
    }

    #[test]
    fn kinds_and_symbols_limit_and_what_is_about_no_symbol_passes() {
        let btc = Some(InstrumentIndex(0));
        let eth = Some(InstrumentIndex(1));
        let open = Filter::parse("", &find).expect("nothing to refuse");
        assert_eq!(open, Filter::everything());
        assert!(open.accepts(Kind::Trade, btc) && open.accepts(Kind::EngineStopped, None));

        let some = Filter::parse("events=trade,%20fill&symbols=ETHUSDT&last_id=7&_=1", &find);
        let some = some.expect("known names");
        assert!(some.accepts(Kind::Trade, eth) && some.accepts(Kind::Fill, None));
        assert!(!some.accepts(Kind::Trade, btc) && !some.accepts(Kind::Account, None));
        assert!(some.wants_class(Class::Market) && some.wants_class(Class::State));

        let eth_only = Filter::parse("symbols=ethusdt", &find).expect("in either case");
        assert!(eth_only.accepts(Kind::Trade, eth) && !eth_only.accepts(Kind::Trade, btc));

        let alerts = Filter::parse("filter=risk_alert", &find).expect("an older name");
        assert!(alerts.accepts(Kind::RiskAlert, btc) && !alerts.wants_class(Class::Market));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let refused = |query| Filter::parse(query, &find).expect_err("refused").parameter;
        assert_eq!(refused("events=trades"), "events");
        assert_eq!(refused("events="), "events");
        assert_eq!(refused("filter=kline"), "filter");
        assert_eq!(refused("symbols=BTCUSDT,NOPE"), "symbols");
        assert_eq!(refused("symbols=%ff"), "symbols");
    }
}
