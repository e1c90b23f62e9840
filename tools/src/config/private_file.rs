//! Files that hold secrets: read only where nobody else could have.
//!
//! Owns: the rule of permissions, and its sentence. Does not: know what the file holds.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of a secret's file: a private key in PEM has about 120, the largest RSA key below 7,000.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// Permissions of the group and of everybody else.
const OTHERS: u32 = 0o077;
/// The group may read.
const GROUP_READS: u32 = 0o040;

/// Why a file is not read for a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateFileFault {
    /// It cannot be read at all.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: String,
    },
    /// Others may read or change it.
    #[error(
        "{}: its mode is {mode:03o}, so others than its owner can reach the secret in it; chmod 600 it, and replace the secret if others use this machine",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to another user, who could change it.
    #[error(
        "{}: it belongs to user {owner}, expected user {user}, who runs this, or root; chown it",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// No secret is that long.
    #[error("{}: it has more than {FILE_BYTES_MAX} bytes, so it is no secret", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// The content of a file of which the owner is this user or root, and that nobody else may touch.
///
/// A file of root's may be read by its group when this user is not root: that is how systemd and Kubernetes hand
/// credentials over, and root, who chose the group, could read it anyway.
///
/// # Errors
/// [`PrivateFileFault`], which shows nothing of the content.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileFault> {
    let unreadable = |error: io::Error| PrivateFileFault::Unreadable {
        path: path.to_owned(),
        cause: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file, so that nothing can be put in its place meanwhile.
    let meta = file.metadata().map_err(unreadable)?;
    // SAFETY: takes nothing, cannot fail, and touches no memory.
    let user = unsafe { libc::geteuid() };
    check(path, meta.mode(), meta.uid(), user)?;
    // Room for all of it, so that no copy is left behind by growing.
    let mut content = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(PrivateFileFault::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(content)
}

fn check(path: &Path, mode: u32, owner: u32, user: u32) -> Result<(), PrivateFileFault> {
    if owner != user && owner != 0 {
        return Err(PrivateFileFault::Foreign {
            path: path.to_owned(),
            owner,
            user,
        });
    }
    let handed_over = owner == 0 && user != 0;
    let allowed = if handed_over { GROUP_READS } else { 0 };
    if mode & OTHERS & !allowed != 0 {
        return Err(PrivateFileFault::Exposed {
            path: path.to_owned(),
            mode: mode & 0o777,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_the_owner_may_reach_it() {
        let path = Path::new("/key");
        for mode in [0o100600, 0o100400, 0o600, 0o700] {
            assert_eq!(check(path, mode, 7, 7), Ok(()), "{mode:o}");
            assert_eq!(check(path, mode, 0, 7), Ok(()), "{mode:o}");
        }
        assert_eq!(check(path, 0o100440, 0, 7), Ok(()), "handed over by root");
        for (mode, user) in [(0o444, 7), (0o460, 7), (0o440, 0)] {
            check(path, mode, 0, user).expect_err("exposed");
        }
        for mode in [0o100640, 0o604, 0o610, 0o602, 0o777] {
            let fault = check(path, mode, 7, 7).expect_err("exposed");
            let shown = format!("/key: its mode is {:03o}, ", mode & 0o777);
            assert!(fault.to_string().starts_with(&shown), "{fault}");
            assert!(fault.to_string().contains("chmod 600"), "{fault}");
        }
        assert_eq!(
            check(path, 0o600, 8, 7).expect_err("foreign").to_string(),
            "/key: it belongs to user 8, expected user 7, who runs this, or root; chown it"
        );
    }

    #[test]
    fn a_file_is_read_or_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("key");
        fs::write(&path, "secret").expect("written");
        let set = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
        set(0o644);
        assert!(matches!(
            read(&path),
            Err(PrivateFileFault::Exposed { mode: 0o644, .. })
        ));
        set(0o600);
        assert_eq!(read(&path).expect("private").as_slice(), b"secret");
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).expect("written");
        assert!(matches!(
            read(&path),
            Err(PrivateFileFault::TooLarge { .. })
        ));
        let missing = read(&directory.path().join("no")).expect_err("missing");
        assert!(missing.to_string().contains("cannot be read"), "{missing}");
    }
}
