//! The keys of a venue that runs on its own, as files for its clients.
//!
//! Owns: the names and the modes of the files. Does not: log a secret. Invariant: a file with a
//! secret is readable by its owner only, from the moment that it exists.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::trading::keys::{ClientKeys, KeyError};

/// Of the key that signs with Ed25519.
const API_KEY: &str = "api_key";
const ED25519: &str = "ed25519.pem";
/// Of the key that signs with HMAC.
const HMAC_API_KEY: &str = "hmac_api_key";
const HMAC_SECRET: &str = "hmac_secret";

/// Why the key files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not readable or writable.
    #[error("the simulated venue cannot use its key file {path}: {cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Some of the files are there, others are not.
    #[error(
        "the simulated venue's key folder {folder} lacks {missing}: expected all four key files or none"
    )]
    Incomplete {
        /// Which folder.
        folder: PathBuf,
        /// The first missing file.
        missing: &'static str,
    },
    /// The machine gave no randomness for new keys.
    #[error("the simulated venue cannot make API keys: {0}")]
    Keys(#[from] KeyError),
}

/// Takes the keys that are in the folder, or makes some and writes them there.
pub(super) fn read_or_make(folder: &Path) -> Result<ClientKeys, KeyFileError> {
    let names = [API_KEY, ED25519, HMAC_API_KEY, HMAC_SECRET];
    let missing: Vec<_> = names
        .into_iter()
        .filter(|name| !folder.join(name).exists())
        .collect();
    match missing.first() {
        None => read(folder),
        Some(_) if missing.len() == names.len() => {
            let keys = ClientKeys::generate()?;
            write(folder, &keys)?;
            Ok(keys)
        }
        Some(&missing) => Err(KeyFileError::Incomplete {
            folder: folder.to_owned(),
            missing,
        }),
    }
}

fn read(folder: &Path) -> Result<ClientKeys, KeyFileError> {
    let text = |name: &str| {
        let path = folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(cause) => Err(KeyFileError::Io { path, cause }),
        }
    };
    Ok(ClientKeys {
        ed25519_api_key: text(API_KEY)?,
        ed25519_private_pem: text(ED25519)?,
        hmac_api_key: text(HMAC_API_KEY)?,
        hmac_secret: text(HMAC_SECRET)?,
    })
}

fn write(folder: &Path, keys: &ClientKeys) -> Result<(), KeyFileError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |cause| KeyFileError::Io { path, cause }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(io(folder))?;
    for (name, text) in [
        (API_KEY, &keys.ed25519_api_key),
        (ED25519, &keys.ed25519_private_pem),
        (HMAC_API_KEY, &keys.hmac_api_key),
        (HMAC_SECRET, &keys.hmac_secret),
    ] {
        let path = folder.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(io(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_and_for_their_owner_only() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("keys");
        let made = read_or_make(&folder).expect("a new folder");
        for name in [API_KEY, ED25519, HMAC_API_KEY, HMAC_SECRET] {
            let mode = fs::metadata(folder.join(name))
                .expect("a file")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let read = read_or_make(&folder).expect("the same folder");
        assert_eq!(read.ed25519_api_key, made.ed25519_api_key);
        assert_eq!(read.hmac_secret, made.hmac_secret);
        assert_eq!(read.configs("main"), made.configs("main"));
    }

    #[test]
    fn half_a_set_of_keys_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        read_or_make(folder.path()).expect("keys");
        fs::remove_file(folder.path().join(API_KEY)).expect("a file");
        let refused = read_or_make(folder.path());
        assert!(
            matches!(
                refused,
                Err(KeyFileError::Incomplete {
                    missing: API_KEY,
                    ..
                })
            ),
            "{refused:?}"
        );
        let nowhere = read_or_make(Path::new("/proc/nowhere/keys"));
        assert!(
            matches!(nowhere, Err(KeyFileError::Io { .. })),
            "{nowhere:?}"
        );
    }
}
