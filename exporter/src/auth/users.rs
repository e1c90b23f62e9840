//! Users: adding them, and changing what they are.
//!
//! Owns: the rules about [`User`]s in a [`Document`], [`UserFault`]. Does not: hash passwords.
//! Invariants: the last admin who can log in keeps the role and stays enabled; whoever gets a new
//! password or is disabled loses every session at once.

use super::document::{Document, User};
use super::password::PasswordFault;
use super::permission::Role;
use super::store::StoreError;
use crate::wall::UnixMs;

/// Users at most: people and programs around one engine.
pub const USERS_MAX: usize = 256;
/// Characters of a user's id.
const ID_CHARS_MAX: usize = 64;

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UserFault {
    /// The id is none.
    #[error("a user's id has 1 to {ID_CHARS_MAX} letters, digits, or characters of -_.@")]
    BadId,
    /// The id is taken.
    #[error("there is a user of this id already")]
    Exists,
    /// Nobody has the id.
    #[error("there is no user of this id")]
    Unknown,
    /// There are too many.
    #[error("there are {USERS_MAX} users already")]
    TooMany,
    /// Nobody could administrate afterwards.
    #[error("this is the last admin who can log in")]
    LastAdmin,
    /// The password is none.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// The file was not written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a text can be a user's id.
pub fn is_user_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain)
}

impl Document {
    /// All users.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(id, user)| (id.as_str(), user))
    }

    /// Adds one with the hash of a password.
    pub fn add_user(
        &mut self,
        user_id: &str,
        password_hash: String,
        roles: &[Role],
        now: UnixMs,
    ) -> Result<(), UserFault> {
        if !is_user_id(user_id) {
            return Err(UserFault::BadId);
        }
        if self.users.contains_key(user_id) {
            return Err(UserFault::Exists);
        }
        if self.users.len() >= USERS_MAX {
            return Err(UserFault::TooMany);
        }
        let user = User {
            password: password_hash,
            roles: in_order(roles),
            disabled: false,
            created_at: now,
        };
        self.users.insert(user_id.to_owned(), user);
        Ok(())
    }

    /// Sets the hash of a new password.
    pub fn set_password(&mut self, user_id: &str, password_hash: String) -> Result<(), UserFault> {
        self.user(user_id)?.password = password_hash;
        self.close_sessions_of(user_id);
        Ok(())
    }

    /// Lets a user in, or keeps it out.
    pub fn set_disabled(&mut self, user_id: &str, disabled: bool) -> Result<(), UserFault> {
        let before = self.clone();
        self.user(user_id)?.disabled = disabled;
        self.close_sessions_of(user_id);
        self.unless_nobody_administrates(before)
    }

    /// Gives roles beside the ones that a user has; returns all.
    pub fn give_roles(&mut self, user_id: &str, roles: &[Role]) -> Result<Vec<Role>, UserFault> {
        let user = self.user(user_id)?;
        let all = [user.roles.as_slice(), roles].concat();
        user.roles = in_order(&all);
        Ok(user.roles.clone())
    }

    /// Takes roles away; returns those that the user had.
    pub fn take_roles(&mut self, user_id: &str, roles: &[Role]) -> Result<Vec<Role>, UserFault> {
        let before = self.clone();
        let user = self.user(user_id)?;
        let (taken, left) = user.roles.iter().partition(|role| roles.contains(role));
        user.roles = left;
        self.unless_nobody_administrates(before)?;
        Ok(taken)
    }

    fn user(&mut self, user_id: &str) -> Result<&mut User, UserFault> {
        self.users.get_mut(user_id).ok_or(UserFault::Unknown)
    }

    fn unless_nobody_administrates(&mut self, before: Self) -> Result<(), UserFault> {
        let administrates = |document: &Self| {
            document
                .users
                .values()
                .any(|user| !user.disabled && user.roles.contains(&Role::Admin))
        };
        if administrates(&before) && !administrates(self) {
            *self = before;
            return Err(UserFault::LastAdmin);
        }
        Ok(())
    }
}

fn in_order(roles: &[Role]) -> Vec<Role> {
    Role::ALL
        .into_iter()
        .filter(|role| roles.contains(role))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let mut document = Document::new();
        for (user_id, role) in [("root", Role::Admin), ("tom", Role::Trader)] {
            document
                .add_user(user_id, "hash".to_owned(), &[role], UnixMs(1))
                .expect("added");
        }
        document
    }

    #[test]
    fn ids_are_plain_and_given_once() {
        let mut document = document();
        let mut add = |user_id: &str| document.add_user(user_id, String::new(), &[], UnixMs(1));
        for bad in ["", "two words", "a/b", "a\n", "ä", &"x".repeat(65)] {
            assert!(matches!(add(bad), Err(UserFault::BadId)), "{bad}");
        }
        assert!(matches!(add("tom"), Err(UserFault::Exists)));
        assert!(add("a.b-c_d@e.f").is_ok());
        for number in 3..USERS_MAX {
            add(&format!("u{number}")).expect("room");
        }
        assert!(matches!(add("one-more"), Err(UserFault::TooMany)));
    }

    #[test]
    fn roles_are_given_and_taken_and_the_last_admin_stays() {
        let mut document = document();
        let given = document.give_roles("tom", &[Role::Admin, Role::Trader, Role::Viewer]);
        assert_eq!(given.expect("known"), Role::ALL);
        let taken = document.take_roles("tom", &[Role::Admin]);
        assert_eq!(taken.expect("two admins"), [Role::Admin]);
        let taken = document.take_roles("tom", &[Role::Admin]);
        assert_eq!(taken.expect("nothing to take"), []);
        let last = document.take_roles("root", &[Role::Admin]);
        assert!(matches!(last, Err(UserFault::LastAdmin)));
        let last = document.set_disabled("root", true);
        assert!(matches!(last, Err(UserFault::LastAdmin)));
        assert!(document.users["root"].roles.contains(&Role::Admin));
        assert!(!document.users["root"].disabled);
        let unknown = document.give_roles("nobody", &[Role::Viewer]);
        assert!(matches!(unknown, Err(UserFault::Unknown)));
    }

    #[test]
    fn a_disabled_user_may_nothing() {
        let mut document = document();
        document
            .set_disabled("tom", true)
            .expect("not the last admin");
        assert!(document.enabled_user("tom").is_none());
        assert!(document.users["tom"].permissions().labels().is_empty());
        document.set_disabled("tom", false).expect("known");
        assert!(document.enabled_user("tom").is_some());
    }
}
