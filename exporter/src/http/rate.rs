//! Who asks how often: one token bucket a principal.
//!
//! Owns: [`ClientBuckets`], [`Verdict`]. Does not: know requests, or decide what is limited. Invariants: a
//! refused request takes no token; at most [`ADDRESSES_MAX`] addresses have a bucket of their own, and
//! the ones beyond share one until others are full again; time comes from the clock it is given.

use crate::auth::keys::KEYS_MAX;
use crate::auth::{Principal, Via};
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use veloz_core::units::Nanos;

/// Addresses with a bucket of their own: some 100 bytes each, and a scan of all of them when full.
const ADDRESSES_MAX: usize = 4_096;

/// Size and refill of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// Buckets of all who ask.
pub struct ClientBuckets {
    rule: RateRule,
    per_user: bool,
    clock: BucketClock,
    addresses: AddressBuckets,
    users: Buckets<String>,
    keys: Mutex<HashMap<String, (RateRule, Buckets<()>)>>,
}

/// Keys with a bucket: those that there can be, and as many that there were. When more come, all begin
/// with a full bucket again.
const KEY_BUCKETS_MAX: usize = 2 * KEYS_MAX;

impl ClientBuckets {
    /// No bucket yet. With `per_user` off, a user is limited as the address that he comes from.
    pub fn new(rule: RateRule, per_user: bool, clock: BucketClock) -> Self {
        Self {
            rule,
            per_user,
            addresses: AddressBuckets::new(rule, clock.clone()),
            users: Buckets::new(rule, clock.clone()),
            keys: Mutex::default(),
            clock,
        }
    }

    /// Takes a token of an address.
    pub fn of_address(&self, address: IpAddr) -> Verdict {
        self.addresses.take(address)
    }

    /// Takes a token of who asks from there.
    pub fn of_principal(&self, principal: &Principal, address: IpAddr) -> Verdict {
        match &principal.via {
            Via::Session { .. } | Via::Ticket { .. } if self.per_user => {
                self.users.take(&principal.user_id)
            }
            Via::Machine | Via::Session { .. } | Via::Ticket { .. } | Via::ScrapeToken => {
                self.of_address(address)
            }
            Via::Key { key_id, rate } => self.of_key(key_id, rate.unwrap_or(self.rule)),
        }
    }

    fn of_key(&self, key_id: &str, rule: RateRule) -> Verdict {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEY_BUCKETS_MAX && !keys.contains_key(key_id) {
            keys.clear();
        }
        let (of, bucket) = keys
            .entry(key_id.to_owned())
            .or_insert_with(|| (rule, Buckets::new(rule, self.clock.clone())));
        if *of != rule {
            (*of, *bucket) = (rule, Buckets::new(rule, self.clock.clone()));
        }
        bucket.take(&())
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

    #[test]
    fn users_and_keys_have_buckets_wherever_they_come_from() {
        let (_, clock) = clock();
        let rule = RateRule::per_second(2, 1);
        let buckets = ClientBuckets::new(rule, true, clock.clone());
        let who = |user_id: &str, via: Via| Principal {
            user_id: user_id.to_owned(),
            via,
            ..Principal::machine()
        };
        let session = || Via::Session {
            session_id: String::new(),
        };
        let key = |key_id: &str, rate| Via::Key {
            key_id: key_id.to_owned(),
            rate,
        };
        let here = IpAddr::from([192, 0, 2, 1]);
        let there = IpAddr::from([192, 0, 2, 2]);
        let left =
            |principal: Principal, address| buckets.of_principal(&principal, address).remaining;
        assert_eq!(left(who("a", session()), here), 1);
        let of = Box::new(session());
        assert_eq!(left(who("a", Via::Ticket { of }), there), 0);
        assert_eq!(left(who("b", session()), here), 1);
        assert_eq!(left(who("a", key("k", None)), here), 1);
        assert_eq!(left(who("a", key("k", None)), there), 0);
        let wide = Some(RateRule::per_second(9, 1));
        assert_eq!(left(who("a", key("l", wide)), here), 8);
        // The key was given another measure.
        assert_eq!(left(who("a", key("k", wide)), here), 8);
        assert_eq!(left(Principal::scraper(), here), 1);

        let by_address = ClientBuckets::new(rule, false, clock);
        let left = |user: &str| {
            by_address
                .of_principal(&who(user, session()), here)
                .remaining
        };
        assert_eq!((left("a"), left("b")), (1, 0));
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
