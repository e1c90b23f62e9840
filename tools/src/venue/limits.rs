//! The venue's rate limits: request weight in aligned minutes, bans, connects, client frames.
//!
//! Owns: the numbers of Binance Spot and the counters behind them. Does not: read a clock or
//! write a reply. Invariant: the table of addresses is bounded; windows are aligned to the clock,
//! as the venue's are.

mod orders;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::source::VenueMicros;

pub use orders::{ORDERS_PER_DAY, ORDERS_PER_TEN_SECONDS};
pub(crate) use orders::{OrderCount, OrderLimits};

/// Request weight an address may use in one minute (exchangeInfo, 2026-09).
pub const REQUEST_WEIGHT_PER_MINUTE: u32 = 6_000;
/// Refused requests after which the address is banned: a client that ignores 429.
pub const REFUSALS_BEFORE_BAN: u32 = 10;
/// How long a first ban lasts; the venue's range is two minutes to three days.
pub const BAN_US: u64 = 120 * SECOND_US;
/// Connection attempts of one address in five minutes.
pub const CONNECTS_PER_FIVE_MINUTES: u32 = 300;
/// Frames a client may send on a stream connection in one second, control frames included.
pub const CLIENT_FRAMES_PER_SECOND: usize = 5;
/// Streams of one connection.
pub const STREAMS_PER_CONNECTION: usize = 1_024;
/// Weight of opening a websocket API connection.
pub const CONNECT_WEIGHT: u32 = 2;

pub(crate) const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;
const FIVE_MINUTES_US: u64 = 5 * MINUTE_US;
/// Addresses remembered; loopback clients have a handful. When full, the oldest window goes.
const ADDRESSES_MAX: usize = 256;

/// What became of a request's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Counted; the request may be answered.
    Allowed,
    /// 429 until the minute turns.
    Limited { retry_at: VenueMicros },
    /// 418 until then.
    Banned { until: VenueMicros },
}

#[derive(Debug, Default)]
struct Address {
    minute: u64,
    used: u32,
    refusals: u32,
    banned_until: Option<VenueMicros>,
    connect_window: u64,
    connects: u32,
}

/// Counters per address.
#[derive(Debug)]
pub(crate) struct Limits {
    weight_max: u32,
    addresses: BTreeMap<IpAddr, Address>,
}

impl Limits {
    pub(crate) fn new(weight_max: u32) -> Self {
        Self {
            weight_max,
            addresses: BTreeMap::new(),
        }
    }

    /// The configured weight of a minute.
    pub(crate) fn weight_max(&self) -> u32 {
        self.weight_max
    }

    /// Counts a request; a refused one costs nothing but brings the ban nearer.
    pub(crate) fn charge(&mut self, now: VenueMicros, ip: IpAddr, weight: u32) -> Verdict {
        let weight_max = self.weight_max;
        let address = self.address(now, ip);
        if let Some(until) = address.banned_until {
            if now < until {
                return Verdict::Banned { until };
            }
            address.banned_until = None;
            address.refusals = 0;
        }
        if address.used + weight <= weight_max {
            address.used += weight;
            return Verdict::Allowed;
        }
        let retry_at = VenueMicros((address.minute + 1) * MINUTE_US);
        match self.refuse(now, ip) {
            Some(until) => Verdict::Banned { until },
            None => Verdict::Limited { retry_at },
        }
    }

    /// Counts a refusal of any limit; the end of the ban when it was one too many.
    pub(crate) fn refuse(&mut self, now: VenueMicros, ip: IpAddr) -> Option<VenueMicros> {
        let address = self.address(now, ip);
        address.refusals += 1;
        (address.refusals > REFUSALS_BEFORE_BAN).then(|| self.ban(now, ip))
    }

    /// Bans an address; returns until when.
    pub(crate) fn ban(&mut self, now: VenueMicros, ip: IpAddr) -> VenueMicros {
        let until = VenueMicros(now.0 + BAN_US);
        self.address(now, ip).banned_until = Some(until);
        until
    }

    /// Gives back the weight of a request that turned out to cost nothing; what was charged in
    /// another minute is gone with it.
    pub(crate) fn refund(
        &mut self,
        charged_at: VenueMicros,
        now: VenueMicros,
        ip: IpAddr,
        weight: u32,
    ) {
        if charged_at.0 / MINUTE_US == now.0 / MINUTE_US {
            let address = self.address(now, ip);
            address.used = address.used.saturating_sub(weight);
        }
    }

    /// Other clients of every known address use up what is left of its minute.
    pub(crate) fn use_up(&mut self, now: VenueMicros) {
        let ips: Vec<IpAddr> = self.addresses.keys().copied().collect();
        for ip in ips {
            let weight_max = self.weight_max;
            self.address(now, ip).used = weight_max;
        }
    }

    /// Weight used in the minute of `now`.
    pub(crate) fn used(&mut self, now: VenueMicros, ip: IpAddr) -> u32 {
        self.address(now, ip).used
    }

    /// Whether an address is banned.
    pub(crate) fn is_banned(&self, now: VenueMicros, ip: IpAddr) -> bool {
        self.addresses
            .get(&ip)
            .and_then(|address| address.banned_until)
            .is_some_and(|until| now < until)
    }

    /// Counts a connection attempt; `false` when it is one too many.
    pub(crate) fn connect(&mut self, now: VenueMicros, ip: IpAddr, max: u32) -> bool {
        let address = self.address(now, ip);
        let window = now.0 / FIVE_MINUTES_US;
        if address.connect_window != window {
            address.connect_window = window;
            address.connects = 0;
        }
        address.connects = address.connects.saturating_add(1);
        address.connects <= max
    }

    fn address(&mut self, now: VenueMicros, ip: IpAddr) -> &mut Address {
        if !self.addresses.contains_key(&ip) && self.addresses.len() >= ADDRESSES_MAX {
            let oldest = self
                .addresses
                .iter()
                .min_by_key(|(_, address)| address.minute)
                .map(|(&ip, _)| ip);
            if let Some(oldest) = oldest {
                self.addresses.remove(&oldest);
            }
        }
        let address = self.addresses.entry(ip).or_default();
        let minute = now.0 / MINUTE_US;
        if address.minute != minute {
            address.minute = minute;
            address.used = 0;
            if address.banned_until.is_none() {
                address.refusals = 0;
            }
        }
        address
    }
}

/// Frames of one client in any one second.
#[derive(Debug, Default)]
pub(crate) struct FrameRate {
    recent: VecDeque<VenueMicros>,
}

impl FrameRate {
    /// Counts a frame; `false` when it is one too many within a second.
    pub(crate) fn count(&mut self, now: VenueMicros) -> bool {
        if self.recent.len() == CLIENT_FRAMES_PER_SECOND {
            let oldest = self.recent[0];
            if now.0 < oldest.0 + SECOND_US {
                return false;
            }
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn weight_resets_on_the_minute_and_refusals_lead_to_a_ban() {
        let mut limits = Limits::new(100);
        // 59.9 s into a minute: the window turns 0.1 s later, not a minute later.
        let late = VenueMicros(600 * SECOND_US + 59_900_000);
        assert_eq!(limits.charge(late, IP, 100), Verdict::Allowed);
        let retry_at = VenueMicros(660 * SECOND_US);
        assert_eq!(limits.charge(late, IP, 1), Verdict::Limited { retry_at });
        assert_eq!(limits.used(late, IP), 100);
        assert_eq!(limits.charge(retry_at, IP, 1), Verdict::Allowed);
        assert_eq!(limits.used(retry_at, IP), 1);

        for _ in 0..REFUSALS_BEFORE_BAN {
            assert!(matches!(
                limits.charge(retry_at, IP, 100),
                Verdict::Limited { .. }
            ));
        }
        let until = VenueMicros(retry_at.0 + BAN_US);
        assert_eq!(limits.charge(retry_at, IP, 100), Verdict::Banned { until });
        let almost = VenueMicros(until.0 - 1);
        assert_eq!(limits.charge(almost, IP, 1), Verdict::Banned { until });
        assert_eq!(limits.charge(until, IP, 1), Verdict::Allowed);
    }

    #[test]
    fn weight_that_others_used_up_is_there_again_in_the_next_minute() {
        let mut limits = Limits::new(100);
        let now = VenueMicros(30 * SECOND_US);
        assert_eq!(limits.charge(now, IP, 1), Verdict::Allowed);
        limits.use_up(now);
        let retry_at = VenueMicros(60 * SECOND_US);
        assert_eq!(limits.charge(now, IP, 1), Verdict::Limited { retry_at });
        assert_eq!(limits.charge(retry_at, IP, 1), Verdict::Allowed);
    }

    #[test]
    fn connects_are_counted_in_five_minutes() {
        let mut limits = Limits::new(1);
        let now = VenueMicros(0);
        assert!(limits.connect(now, IP, 2));
        assert!(limits.connect(now, IP, 2));
        assert!(!limits.connect(now, IP, 2));
        assert!(limits.connect(VenueMicros(FIVE_MINUTES_US), IP, 2));
    }

    #[test]
    fn five_frames_a_second_pass_and_the_sixth_does_not() {
        let mut rate = FrameRate::default();
        for position in 0..5 {
            assert!(rate.count(VenueMicros(position * 100_000)));
        }
        assert!(!rate.count(VenueMicros(999_999)));
        assert!(rate.count(VenueMicros(1_000_000)));
        assert!(!rate.count(VenueMicros(1_099_999)));
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let mut limits = Limits::new(1);
        for host in 0..1_000u32 {
            limits.charge(VenueMicros(u64::from(host)), IpAddr::V4(host.into()), 1);
        }
        assert_eq!(limits.addresses.len(), ADDRESSES_MAX);
    }
}
