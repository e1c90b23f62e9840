//! Who asks how often: one token bucket a principal.
//!
//! Owns: [`RateLimits`], [`Verdict`]. Does not: know requests, or decide what is limited. Invariants: a
//! refused request takes no token; at most [`ADDRESSES_MAX`] addresses have a bucket of their own, and
//! the ones beyond share one until others are full again; time comes from the clock it is given.

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use veloz_core::units::Nanos;

/// Addresses with a bucket of their own: some 100 bytes each, and a scan of all of them when full.
const ADDRESSES_MAX: usize = 4_096;

/// Size and refill of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateRule {
    /// Requests at once from a full bucket.
    pub capacity: NonZeroU32,
    /// Tokens that come back in a thousand seconds, so that one a minute can be said too.
    pub refill_per_1000_s: NonZeroU32,
}

impl RateRule {
    /// `capacity` at once, and `refill` a second.
    ///
    /// # Panics
    /// When either is zero.
    pub const fn per_second(capacity: u32, refill: u32) -> Self {
        Self {
            capacity: NonZeroU32::new(capacity).expect("a bucket that holds something"),
            refill_per_1000_s: NonZeroU32::new(refill * 1_000).expect("a refill above zero"),
        }
    }

    /// Time in which one token comes back.
    fn period(self) -> Duration {
        Duration::from_nanos(1_000_000_000_000 / u64::from(self.refill_per_1000_s.get()))
    }

    fn quota(self) -> Quota {
        Quota::with_period(self.period())
            .expect("a period above zero")
            .allow_burst(self.capacity)
    }
}

/// The outcome of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Tokens of a full bucket.
    pub limit: u32,
    /// Tokens left.
    pub remaining: u32,
    /// Time until the bucket is full again.
    pub full_in: Duration,
    /// `Some` when the request is refused: time until it would not be.
    pub retry_in: Option<Duration>,
}

/// The clock that buckets read.
#[derive(Clone)]
pub struct BucketClock(Arc<dyn Fn() -> Nanos + Send + Sync>);

impl BucketClock {
    /// A clock that reads `now`.
    pub fn new(now: impl Fn() -> Nanos + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl Clock for BucketClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos((self.0)().0)
    }
}

/// Buckets by key, all of one size.
pub struct Buckets<K: Hash + Eq + Clone> {
    rule: RateRule,
    clock: BucketClock,
    limiter: RateLimiter<K, HashMapStateStore<K>, BucketClock, StateInformationMiddleware>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// No bucket yet: the first request of a key finds a full one.
    pub fn new(rule: RateRule, clock: BucketClock) -> Self {
        let limiter = RateLimiter::hashmap_with_clock(rule.quota(), clock.clone())
            .with_middleware::<StateInformationMiddleware>();
        Self {
            rule,
            clock,
            limiter,
        }
    }

    /// Takes a token.
    pub fn take(&self, key: &K) -> Verdict {
        let limit = self.rule.capacity.get();
        let (remaining, retry_in) = match self.limiter.check_key(key) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => (0, Some(until.wait_time_from(self.clock.now()))),
        };
        Verdict {
            limit,
            remaining,
            full_in: self.rule.period() * (limit - remaining),
            retry_in,
        }
    }

    /// Forgets full buckets, and says how many are left.
    fn tidy(&self) -> usize {
        self.limiter.retain_recent();
        self.limiter.len()
    }
}

/// Buckets of addresses, which anybody can have many of.
pub struct AddressBuckets {
    /// `None` is the bucket that all addresses share for which there is no room.
    buckets: Buckets<Option<IpAddr>>,
}

impl AddressBuckets {
    /// No bucket yet.
    pub fn new(rule: RateRule, clock: BucketClock) -> Self {
        Self {
            buckets: Buckets::new(rule, clock),
        }
    }

    /// Takes a token.
    pub fn take(&self, address: IpAddr) -> Verdict {
        let full =
            self.buckets.limiter.len() >= ADDRESSES_MAX && self.buckets.tidy() >= ADDRESSES_MAX;
        let key = (!full).then(|| household(address));
        self.buckets.take(&key)
    }
}

/// The part of an address that one household cannot change at will: all of IPv4, 64 bits of IPv6.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    fn clock() -> (Arc<AtomicU64>, BucketClock) {
        let at = Arc::new(AtomicU64::new(1));
        let reading = Arc::clone(&at);
        (at, BucketClock::new(move || Nanos(reading.load(Relaxed))))
    }

    #[test]
    fn a_bucket_empties_refills_and_says_when() {
        let (at, clock) = clock();
        let buckets = Buckets::new(RateRule::per_second(3, 2), clock);
        let first = buckets.take(&"a");
        assert_eq!(
            first,
            Verdict {
                limit: 3,
                remaining: 2,
                full_in: Duration::from_millis(500),
                retry_in: None
            }
        );
        buckets.take(&"a");
        assert_eq!(buckets.take(&"a").remaining, 0);
        for _ in 0..5 {
            let refused = buckets.take(&"a");
            assert_eq!(refused.retry_in, Some(Duration::from_millis(500)));
            assert_eq!(refused.full_in, Duration::from_millis(1_500));
        }
        assert_eq!(buckets.take(&"b").retry_in, None, "another key's bucket");
        at.fetch_add(Nanos::from_ms(499).0, Relaxed);
        assert!(buckets.take(&"a").retry_in.is_some());
        at.fetch_add(Nanos::from_ms(1).0, Relaxed);
        assert_eq!(buckets.take(&"a").retry_in, None);
    }

    #[test]
    fn an_ipv6_household_has_one_bucket_and_a_mapped_address_is_ipv4() {
        let (_, clock) = clock();
        let buckets = AddressBuckets::new(RateRule::per_second(1, 1), clock);
        let taken = |text: &str| {
            let address = text.parse().expect("an address");
            buckets.take(address).retry_in.is_none()
        };
        assert!(taken("2001:db8::1"));
        assert!(!taken("2001:db8::ffff:2"));
        assert!(taken("2001:db8:0:1::1"));
        assert!(taken("192.0.2.1"));
        assert!(!taken("::ffff:192.0.2.1"));
        assert!(taken("192.0.2.2"));
    }

    #[test]
    fn addresses_beyond_the_limit_share_one_bucket_until_there_is_room() {
        let (at, clock) = clock();
        let buckets = AddressBuckets::new(RateRule::per_second(1, 1), clock);
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..ADDRESSES_MAX as u32 {
            assert_eq!(buckets.take(address(number)).retry_in, None);
        }
        let beyond = ADDRESSES_MAX as u32;
        assert_eq!(buckets.take(address(beyond)).retry_in, None);
        assert!(buckets.take(address(beyond + 1)).retry_in.is_some());
        at.fetch_add(Nanos::from_secs(5).0, Relaxed);
        assert_eq!(buckets.take(address(beyond + 1)).retry_in, None);
        assert_eq!(buckets.take(address(beyond + 2)).retry_in, None);
    }

    proptest! {
        /// Against the obvious model: a level that rises with time and falls by one a request.
        #[test]
        fn a_bucket_is_a_level(waits_ms in proptest::collection::vec(0u64..1_500, 1..60)) {
            let (at, clock) = clock();
            let buckets = Buckets::new(RateRule::per_second(4, 2), clock);
            let (mut level_ms, full_ms) = (4 * 500u64, 4 * 500u64);
            for wait_ms in waits_ms {
                at.fetch_add(Nanos::from_ms(wait_ms).0, Relaxed);
                level_ms = (level_ms + wait_ms).min(full_ms);
                let verdict = buckets.take(&());
                if level_ms >= 500 {
                    level_ms -= 500;
                    prop_assert_eq!(verdict.retry_in, None);
                } else {
                    prop_assert_eq!(verdict.retry_in, Some(Duration::from_millis(500 - level_ms)));
                }
                prop_assert_eq!(u64::from(verdict.remaining), level_ms / 500);
            }
        }
    }
}
