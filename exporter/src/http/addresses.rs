//! Which addresses may connect at all.
//!
//! Owns: [`AddressRules`], [`Network`]. Does not: know what they ask for. Invariants: a denied address is denied
//! whatever else allows it; an empty list of allowed ones allows all.

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::net::IpAddr;

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Reads `address/prefix`, or an address alone.
    pub fn parse(text: &str) -> Option<Self> {
        let network = text.parse().ok();
        let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
        network.or_else(single).map(Self)
    }

    /// Whether an address is in it; an IPv4 address is one in either notation.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a network"))
    }
}

/// Networks that may connect, and networks that may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRules {
    /// Empty for all.
    pub allowed: Vec<Network>,
    /// Stronger than `allowed`.
    pub denied: Vec<Network>,
    /// Whether private networks may connect (RFC 1918, RFC 4193).
    pub private_allowed: bool,
}

impl Default for AddressRules {
    fn default() -> Self {
        Self {
            allowed: Vec::new(),
            denied: Vec::new(),
            private_allowed: true,
        }
    }
}

impl AddressRules {
    /// Whether a peer with this address may connect.
    pub fn permit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.holds(address));
        !is_in(&self.denied)
            && (self.allowed.is_empty() || is_in(&self.allowed))
            && (self.private_allowed || !is_private(address))
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_beats_allowed_and_a_mapped_address_is_ipv4() {
        let networks = |texts: &[&str]| -> Vec<Network> {
            texts
                .iter()
                .map(|text| Network::parse(text).expect("a network"))
                .collect()
        };
        let rules = AddressRules {
            allowed: networks(&["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"]),
            denied: networks(&["10.1.0.0/16"]),
            private_allowed: true,
        };
        let cases = [
            ("10.2.3.4", true),
            ("::ffff:10.2.3.4", true),
            ("10.1.3.4", false),
            ("::ffff:10.1.3.4", false),
            ("127.0.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::5", true),
            ("2001:db9::5", false),
        ];
        for (text, expected) in cases {
            let address = text.parse().expect("an address");
            assert_eq!(rules.permit(address), expected, "{text}");
        }

        let public = AddressRules {
            private_allowed: false,
            ..AddressRules::default()
        };
        for (text, expected) in [
            ("10.2.3.4", false),
            ("192.168.0.1", false),
            ("fd00::1", false),
            ("127.0.0.1", true),
            ("192.0.2.1", true),
        ] {
            assert_eq!(
                public.permit(text.parse().expect("one")),
                expected,
                "{text}"
            );
        }
    }
}
