//! Passwords: hashing them, and comparing with a hash.
//!
//! Owns: [`hash`], [`matches`], [`PasswordFault`]. Does not: run on the thread that serves: one
//! comparison takes some 30 ms and 19 MiB. Invariant: an unknown user costs as much as a wrong password.

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use std::sync::LazyLock;

/// Fewest bytes of a password.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// Most bytes of a password: no human's is longer, and hashing reads all of it.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// Why a text is no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Too short.
    #[error("a password has at least {PASSWORD_BYTES_MIN} bytes")]
    Short,
    /// Too long.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    Long,
    /// A control character, which no keyboard types on purpose.
    #[error("a password holds no control characters")]
    Control,
}

/// Checks a new password.
pub fn check(password: &str) -> Result<(), PasswordFault> {
    if password.len() < PASSWORD_BYTES_MIN {
        Err(PasswordFault::Short)
    } else if password.len() > PASSWORD_BYTES_MAX {
        Err(PasswordFault::Long)
    } else if password.chars().any(char::is_control) {
        Err(PasswordFault::Control)
    } else {
        Ok(())
    }
}

/// The argon2id hash of a password with a salt of its own, in the PHC format.
///
/// # Errors
/// [`PasswordFault`] when it is none.
pub fn hash(password: &str) -> Result<String, PasswordFault> {
    check(password)?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .expect("the default parameters and a random salt are valid");
    Ok(hash.to_string())
}

/// Whether a password has this hash; `None` for a user that does not exist compares with nobody's.
pub fn matches(password: &str, hash: Option<&str>) -> bool {
    static NOBODY: LazyLock<String> =
        LazyLock::new(|| self::hash(&crate::random::hex::<16>()).expect("long enough"));
    let compare = |hash: &str| {
        PasswordHash::new(hash).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        })
    };
    match hash {
        _ if password.len() > PASSWORD_BYTES_MAX => false,
        Some(hash) => compare(hash),
        None => {
            compare(&NOBODY);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let stored = hash("correct horse").expect("a password");
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(matches("correct horse", Some(&stored)));
        assert!(!matches("correct horsE", Some(&stored)));
        assert!(!matches("correct horse", None));
        assert!(!matches("correct horse", Some("not a hash")));
        assert_ne!(hash("correct horse").expect("a password"), stored, "salted");
    }

    #[test]
    fn what_is_no_password_is_refused_by_its_reason() {
        assert_eq!(hash("seven77"), Err(PasswordFault::Short));
        assert_eq!(hash(&"x".repeat(1_025)), Err(PasswordFault::Long));
        assert_eq!(hash("12345678\n"), Err(PasswordFault::Control));
        assert!(!matches(&"x".repeat(1 << 20), None));
    }
}
