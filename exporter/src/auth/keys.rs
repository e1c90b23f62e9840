//! API keys: making, recognising and revoking them.
//!
//! Owns: the rules about [`ApiKey`]s in a [`Document`], [`KeySpec`], [`KeyFault`]. Invariants: a key is
//! shown once, when it is made; what is kept recognises it and cannot give it back; every key is
//! compared with, whichever matches, so that time tells nothing.

use super::digest::SecretDigest;
use super::document::{ApiKey, Document, User};
use super::permission::Permissions;
use super::store::StoreError;
use crate::http::addresses::Network;
use crate::http::rate::RateRule;
use crate::wall::UnixMs;
use std::net::IpAddr;

/// Keys at most, revoked ones included; a new key takes the place of the oldest revoked one.
pub const KEYS_MAX: usize = 256;
/// What every key starts with, so that a scanner for leaked secrets knows it.
const PREFIX: &str = "veloz_";

/// What a new key shall be.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Whose.
    pub user_id: String,
    /// What for.
    pub name: String,
    /// What it may do, as far as its owner may.
    pub permissions: Permissions,
    /// From when on it is good for nothing.
    pub expires_at: Option<UnixMs>,
    /// From where it may be used; empty for anywhere.
    pub allowed_addresses: Vec<Network>,
    /// How often, when not as often as anybody.
    pub rate: Option<RateRule>,
}

/// Why a key is not made, not found or not good.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// There is no user of that id, or it is disabled.
    #[error("there is no user of this id")]
    UnknownUser,
    /// There are too many, none of them revoked.
    #[error("there are {KEYS_MAX} keys already")]
    TooMany,
    /// No key has this id.
    #[error("there is no key of this id")]
    UnknownKey,
    /// The file was not written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key that came with a request is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// No such key.
    Unknown,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
    /// Its owner is gone or disabled.
    Orphaned,
    /// It may not be used from there.
    Address,
}

impl BadKey {
    /// For the audit log; the client does not hear which it was.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Orphaned => "owner_disabled",
            Self::Address => "address",
        }
    }
}

impl Document {
    /// All keys, oldest first.
    pub fn keys(&self) -> &[ApiKey] {
        &self.keys
    }

    /// Makes a key with an id and a secret that the caller chose by [`new_secret`].
    pub fn add_key(
        &mut self,
        spec: KeySpec,
        secret: &NewSecret,
        now: UnixMs,
    ) -> Result<(), KeyFault> {
        if self.enabled_user(&spec.user_id).is_none() {
            return Err(KeyFault::UnknownUser);
        }
        if self.keys.len() >= KEYS_MAX {
            let oldest = self.keys.iter().position(|key| key.revoked);
            self.keys.remove(oldest.ok_or(KeyFault::TooMany)?);
        }
        self.keys.push(ApiKey {
            key_id: secret.key_id.clone(),
            digest: SecretDigest::of(&secret.api_key),
            user_id: spec.user_id,
            name: spec.name,
            created_at: now,
            last_used_at: None,
            expires_at: spec.expires_at,
            revoked: false,
            permissions: spec.permissions,
            allowed_addresses: spec.allowed_addresses,
            rate: spec.rate,
        });
        Ok(())
    }

    /// Takes a key back for ever; one that was taken back stays so.
    pub fn revoke_key(&mut self, key_id: &str) -> Result<(), KeyFault> {
        let key = self.keys.iter_mut().find(|key| key.key_id == key_id);
        key.ok_or(KeyFault::UnknownKey)?.revoked = true;
        Ok(())
    }

    /// The key of this name, when it is good now.
    pub(super) fn good_key(&self, key_id: &str, now: UnixMs) -> Option<&ApiKey> {
        self.keys
            .iter()
            .find(|key| key.key_id == key_id)
            .filter(|key| key.fault(now).is_none())
    }

    /// The key that this secret is, with its owner, when it is good now and from there.
    pub(super) fn recognise(
        &self,
        secret: &str,
        address: IpAddr,
        now: UnixMs,
    ) -> Result<(&ApiKey, &User), BadKey> {
        let digest = SecretDigest::of(secret);
        let mut found = None;
        for key in &self.keys {
            if key.digest.is(&digest) {
                found = Some(key);
            }
        }
        let key = found.ok_or(BadKey::Unknown)?;
        if let Some(fault) = key.fault(now) {
            return Err(fault);
        }
        let user = self.enabled_user(&key.user_id).ok_or(BadKey::Orphaned)?;
        let from = &key.allowed_addresses;
        if !from.is_empty() && !from.iter().any(|network| network.holds(address)) {
            return Err(BadKey::Address);
        }
        Ok((key, user))
    }
}

impl ApiKey {
    /// Why the key itself is good for nothing now.
    fn fault(&self, now: UnixMs) -> Option<BadKey> {
        if self.revoked {
            Some(BadKey::Revoked)
        } else if self.expires_at.is_some_and(|end| end <= now) {
            Some(BadKey::Expired)
        } else {
            None
        }
    }
}

/// A key before it is in the document.
pub struct NewSecret {
    /// Its public name: `vk_` and 16 digits.
    pub key_id: String,
    /// The key: `veloz_` and 64 digits. Shown once.
    pub api_key: String,
}

/// An id and a secret that nobody can guess.
pub fn new_secret() -> NewSecret {
    NewSecret {
        key_id: format!("vk_{}", crate::random::hex::<8>()),
        api_key: format!("{PREFIX}{}", crate::random::hex::<32>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::permission::Role;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn spec() -> KeySpec {
        KeySpec {
            user_id: "tom".to_owned(),
            name: "bot".to_owned(),
            permissions: Permissions::ALL,
            expires_at: None,
            allowed_addresses: Vec::new(),
            rate: None,
        }
    }

    fn document() -> Document {
        let mut document = Document::new();
        let trader = &[Role::Trader];
        document
            .add_user("tom", String::new(), trader, UnixMs(1))
            .expect("added");
        document
    }

    fn add(document: &mut Document, spec: KeySpec) -> NewSecret {
        let secret = new_secret();
        document.add_key(spec, &secret, UnixMs(10)).expect("added");
        secret
    }

    #[test]
    fn a_key_is_recognised_and_not_kept() {
        let mut document = document();
        let other = add(&mut document, spec());
        let made = add(&mut document, spec());
        assert_eq!((made.key_id.len(), made.api_key.len()), (19, 70));
        let (key, user) = document
            .recognise(&made.api_key, HERE, UnixMs(11))
            .expect("good");
        assert_eq!(key.key_id, made.key_id);
        assert_eq!(user.roles, [Role::Trader]);
        let text = serde_json::to_string(&document).expect("JSON");
        for secret in [&made.api_key, &other.api_key] {
            assert!(!text.contains(secret.trim_start_matches(PREFIX)));
        }
    }

    #[test]
    fn each_reason_for_which_a_key_is_not_good_has_its_name() {
        let mut document = document();
        let bad = |document: &Document, secret: &NewSecret, address: &str, now: u64| {
            let address = address.parse().expect("an address");
            document
                .recognise(&secret.api_key, address, UnixMs(now))
                .err()
        };
        assert_eq!(
            bad(&document, &new_secret(), "127.0.0.1", 11),
            Some(BadKey::Unknown)
        );

        let limited = add(
            &mut document,
            KeySpec {
                expires_at: Some(UnixMs(20)),
                allowed_addresses: vec![Network::parse("10.0.0.0/8").expect("a network")],
                ..spec()
            },
        );
        assert_eq!(bad(&document, &limited, "10.0.0.1", 19), None);
        assert_eq!(
            bad(&document, &limited, "10.0.0.1", 20),
            Some(BadKey::Expired)
        );
        assert_eq!(
            bad(&document, &limited, "11.0.0.1", 19),
            Some(BadKey::Address)
        );

        let good = add(&mut document, spec());
        document.set_disabled("tom", true).expect("known");
        assert_eq!(
            bad(&document, &good, "10.0.0.1", 11),
            Some(BadKey::Orphaned)
        );
        document.set_disabled("tom", false).expect("known");
        document.revoke_key(&good.key_id).expect("known");
        assert_eq!(bad(&document, &good, "10.0.0.1", 11), Some(BadKey::Revoked));
        assert!(matches!(
            document.revoke_key("vk_0"),
            Err(KeyFault::UnknownKey)
        ));
        let orphan = KeySpec {
            user_id: "nobody".to_owned(),
            ..spec()
        };
        let refused = document.add_key(orphan, &new_secret(), UnixMs(1));
        assert!(matches!(refused, Err(KeyFault::UnknownUser)));
        for reason in [
            BadKey::Unknown,
            BadKey::Revoked,
            BadKey::Expired,
            BadKey::Orphaned,
            BadKey::Address,
        ] {
            assert!(!reason.label().is_empty());
        }
    }

    #[test]
    fn a_new_key_takes_the_place_of_a_revoked_one_when_there_is_no_room() {
        let mut document = document();
        let made: Vec<_> = (0..KEYS_MAX).map(|_| add(&mut document, spec())).collect();
        let refused = document.add_key(spec(), &new_secret(), UnixMs(1));
        assert!(matches!(refused, Err(KeyFault::TooMany)));
        document.revoke_key(&made[7].key_id).expect("known");
        add(&mut document, spec());
        assert_eq!(document.keys().len(), KEYS_MAX);
        assert!(
            document
                .keys()
                .iter()
                .all(|key| key.key_id != made[7].key_id)
        );
    }
}
