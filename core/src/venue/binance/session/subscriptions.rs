//! The SUBSCRIBE messages of one market connection, rendered once at start.
//!
//! Owns: [`Subscriptions`]. Does not: send or number them. Invariant: the streams of all
//! instruments stand in exactly one message each, at most [`STREAMS_PER_SUBSCRIBE_MAX`] a message.

use crate::config::{PartialDepth, Streams};
use crate::instrument::Instruments;
use crate::limits::{STREAMS_PER_LINK_MAX, STREAMS_PER_SUBSCRIBE_MAX, SUBSCRIBES_PER_LINK_MAX};
use std::fmt::Write as _;

/// More streams than one connection may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{streams} streams are configured, one connection carries at most {STREAMS_PER_LINK_MAX}: \
     watch fewer instruments or fewer streams of each"
)]
pub struct TooManyStreams {
    /// How many were asked for.
    pub streams: usize,
}

/// The names of all streams, as the `params` of a few messages.
#[derive(Clone, Debug)]
pub struct Subscriptions {
    params: Vec<String>,
}

impl Subscriptions {
    /// Renders the names of these streams for all instruments.
    ///
    /// # Errors
    /// [`TooManyStreams`] when one connection cannot carry them.
    pub fn new(instruments: &Instruments, streams: Streams) -> Result<Self, TooManyStreams> {
        let count = instruments.count() * streams.per_instrument();
        if count > STREAMS_PER_LINK_MAX {
            return Err(TooManyStreams { streams: count });
        }
        let mut params = vec![String::new()];
        let mut names = 0;
        for (_, instrument) in instruments.iter() {
            let symbol = instrument.symbol.as_str().to_lowercase();
            for suffix in suffixes(streams).into_iter().flatten() {
                if names == STREAMS_PER_SUBSCRIBE_MAX {
                    params.push(String::new());
                    names = 0;
                }
                let message = params.last_mut().expect("starts with one");
                let comma = if names == 0 { "" } else { "," };
                write!(message, "{comma}\"{symbol}@{suffix}\"").expect("a string takes it");
                names += 1;
            }
        }
        assert!(
            params.len() <= SUBSCRIBES_PER_LINK_MAX,
            "bounded by the streams"
        );
        Ok(Self { params })
    }

    /// How many messages there are, `[1, SUBSCRIBES_PER_LINK_MAX]`.
    pub fn count(&self) -> usize {
        self.params.len()
    }

    /// Quoted stream names, separated by commas, of the message at `index`, `[0, count)`.
    pub fn params(&self, index: usize) -> &[u8] {
        self.params[index].as_bytes()
    }
}

fn suffixes(streams: Streams) -> [Option<&'static str>; 5] {
    [
        Some("depth@100ms"),
        streams.book_ticker.then_some("bookTicker"),
        streams.trade.then_some("trade"),
        streams.agg_trade.then_some("aggTrade"),
        streams.partial_depth.map(|depth| match depth {
            PartialDepth::Five => "depth5@100ms",
            PartialDepth::Ten => "depth10@100ms",
            PartialDepth::Twenty => "depth20@100ms",
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::tests::instrument;

    fn table(count: usize) -> Instruments {
        let list = (0..count)
            .map(|number| instrument(&format!("A{number}USDT"), 1, 1))
            .collect();
        Instruments::new(list).expect("unique")
    }

    #[test]
    fn names_are_lower_case_and_selected_by_config() {
        let instruments = Instruments::new(vec![
            instrument("BTCUSDT", 1, 1),
            instrument("币安人生USDT", 1, 1),
        ])
        .expect("two");
        let subscriptions = Subscriptions::new(&instruments, Streams::default()).expect("few");
        assert_eq!(
            std::str::from_utf8(subscriptions.params(0)).expect("text"),
            "\"btcusdt@depth@100ms\",\"btcusdt@bookTicker\",\"btcusdt@trade\",\
             \"币安人生usdt@depth@100ms\",\"币安人生usdt@bookTicker\",\"币安人生usdt@trade\""
        );
        let streams = Streams {
            book_ticker: false,
            trade: false,
            agg_trade: true,
            partial_depth: Some(PartialDepth::Twenty),
        };
        let subscriptions = Subscriptions::new(&table(1), streams).expect("few");
        assert_eq!(
            subscriptions.params(0),
            b"\"a0usdt@depth@100ms\",\"a0usdt@aggTrade\",\"a0usdt@depth20@100ms\""
        );
    }

    #[test]
    fn long_lists_are_cut_into_messages() {
        let all = Streams {
            agg_trade: true,
            ..Streams::default()
        };
        let subscriptions = Subscriptions::new(&table(256), all).expect("exactly 1,024");
        assert_eq!(subscriptions.count(), SUBSCRIBES_PER_LINK_MAX);
        let names: Vec<usize> = (0..subscriptions.count())
            .map(|index| {
                let text = std::str::from_utf8(subscriptions.params(index)).expect("text");
                text.matches('@').count()
            })
            .collect();
        // A diff-depth name has two at-signs, and a quarter of the names are of that kind.
        assert_eq!(names.iter().sum::<usize>(), 1_024 + 256);
        assert!(names.iter().all(|ats| *ats <= 250), "{names:?}");

        let too_many = Streams {
            partial_depth: Some(PartialDepth::Five),
            ..all
        };
        assert_eq!(
            Subscriptions::new(&table(256), too_many).expect_err("1,280"),
            TooManyStreams { streams: 1_280 }
        );
    }
}
