//! How often a password may be tried.
//!
//! Owns: [`LoginAttempts`]. Invariants: both the address and the user are limited, so neither one peer
//! trying many users nor many peers trying one gets far; whether a user exists changes nothing.

use crate::http::rate::{AddressBuckets, BucketClock, Buckets, RateRule};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Of one address: ten at once, then one in ten seconds.
const OF_ADDRESS: RateRule = RateRule {
    capacity: NonZeroU32::new(10).expect("above zero"),
    refill_per_1000_s: NonZeroU32::new(100).expect("above zero"),
};
/// Of one user: twenty at once, then one in five seconds, so that others cannot lock it out cheaply.
const OF_USER: RateRule = RateRule {
    capacity: NonZeroU32::new(20).expect("above zero"),
    refill_per_1000_s: NonZeroU32::new(200).expect("above zero"),
};
/// Ids are anybody's invention, so they are told apart by a hash of so many values.
const USER_SLOTS: u64 = 4_096;

pub(super) struct LoginAttempts {
    addresses: AddressBuckets,
    users: Buckets<u64>,
    hasher: RandomState,
}

impl LoginAttempts {
    pub(super) fn new(clock: BucketClock) -> Self {
        Self {
            addresses: AddressBuckets::new(OF_ADDRESS, clock.clone()),
            users: Buckets::new(OF_USER, clock),
            hasher: RandomState::new(),
        }
    }

    /// Counts an attempt; `Err` says when the next one may be made.
    pub(super) fn take(&self, user_id: &str, address: IpAddr) -> Result<(), Duration> {
        let slot = self.hasher.hash_one(user_id) % USER_SLOTS;
        match self.addresses.take(address).retry_in {
            Some(wait) => Err(wait),
            // An attempt that its address may not make does not count against the user.
            None => self.users.take(&slot).retry_in.map_or(Ok(()), Err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use veloz_core::units::Nanos;

    #[test]
    fn an_address_and_a_user_each_have_their_measure() {
        let at = Arc::new(AtomicU64::new(1));
        let reading = Arc::clone(&at);
        let attempts = LoginAttempts::new(BucketClock::new(move || Nanos(reading.load(Relaxed))));
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        for number in 0..10 {
            assert_eq!(attempts.take(&format!("u{number}"), address(1)), Ok(()));
        }
        let wait = attempts.take("another", address(1)).expect_err("too many");
        assert_eq!(wait, Duration::from_secs(10));
        for _ in 0..10 {
            assert_eq!(attempts.take("admin", address(2)), Ok(()));
            assert_eq!(attempts.take("admin", address(3)), Ok(()));
        }
        assert_eq!(
            attempts.take("admin", address(4)),
            Err(Duration::from_secs(5))
        );
        at.fetch_add(Nanos::from_secs(5).0, Relaxed);
        assert_eq!(attempts.take("admin", address(4)), Ok(()));
    }
}
