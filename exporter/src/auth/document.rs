//! What the auth file holds, and what may be done to it.
//!
//! Owns: [`Document`] with its users, keys and sessions as data. Rules about each are in `users.rs`,
//! `keys.rs` and `sessions.rs`; the file is in `store.rs`. Invariants: no password and no key is in it,
//! only what recognises them; every list is bounded; a field that is missing is a fault of the file.

use super::digest::SecretDigest;
use super::permission::{Permissions, Role};
use crate::http::addresses::Network;
use crate::http::rate::RateRule;
use crate::wall::UnixMs;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The version that is written, and the only one so far.
pub(super) const VERSION: u32 = 1;

/// Everything about who may do what.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The format.
    pub(super) version: u32,
    /// What signs tokens when the configuration names no secret.
    pub(super) signing_secret: String,
    /// Users by id.
    pub(super) users: BTreeMap<String, User>,
    /// API keys, oldest first.
    pub(super) keys: Vec<ApiKey>,
    /// Sessions, oldest first.
    pub(super) sessions: Vec<Session>,
}

/// One user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The argon2id hash.
    pub(super) password: String,
    /// Without duplicates, in order.
    pub roles: Vec<Role>,
    /// A disabled user is as good as none.
    pub disabled: bool,
    /// When it was added.
    pub created_at: UnixMs,
}

impl User {
    /// What it may do.
    pub fn permissions(&self) -> Permissions {
        if self.disabled {
            Permissions::NONE
        } else {
            Role::together(&self.roles)
        }
    }
}

/// One API key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its public name.
    pub key_id: String,
    /// Recognises it.
    pub(super) digest: SecretDigest,
    /// Whose it is.
    pub user_id: String,
    /// What it is for, in its owner's words.
    pub name: String,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was last used, as of the last time that the file was written.
    #[serde(deserialize_with = "present")]
    pub last_used_at: Option<UnixMs>,
    /// From when on it is good for nothing.
    #[serde(deserialize_with = "present")]
    pub expires_at: Option<UnixMs>,
    /// Whether it was taken back.
    pub revoked: bool,
    /// What it may do, as far as its owner may.
    pub permissions: Permissions,
    /// From where it may be used; empty for anywhere.
    pub allowed_addresses: Vec<Network>,
    /// How often, when not as often as anybody.
    #[serde(deserialize_with = "present")]
    pub rate: Option<RateRule>,
}

/// One login that goes on.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the file's word; tokens carry it beside the user's id"
)]
pub struct Session {
    /// Its name, which every token of it carries.
    pub(super) session_id: String,
    /// Whose it is.
    pub(super) user_id: String,
    /// The one refresh token that is good now.
    pub(super) refresh: RefreshId,
    /// The one before, for a client that did not hear the answer.
    #[serde(deserialize_with = "present")]
    pub(super) replaced: Option<Replaced>,
}

/// Which refresh token, and its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshId {
    pub(super) jti: String,
    pub(super) issued_at: UnixMs,
    pub(super) expires_at: UnixMs,
}

/// A refresh token that was used.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replaced {
    pub(super) jti: String,
    pub(super) at: UnixMs,
}

impl Document {
    /// Nobody yet, and a secret of its own.
    pub(super) fn new() -> Self {
        Self {
            version: VERSION,
            signing_secret: crate::random::hex::<32>(),
            users: BTreeMap::new(),
            keys: Vec::new(),
            sessions: Vec::new(),
        }
    }

    /// The user of this id, unless disabled.
    pub(super) fn enabled_user(&self, user_id: &str) -> Option<&User> {
        self.users.get(user_id).filter(|user| !user.disabled)
    }
}

/// A field that may hold nothing but must be there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}
