//! The file that users, keys and sessions live in.
//!
//! Owns: [`Store`]. Does not: know what a document means. Invariants:
//! - A write is whole or not there: a new file is written and synced, renamed over the old one, and the
//!   directory synced. It is its owner's alone (mode 0600), and one that others can read is refused.
//! - A lock keeps two processes from writing over each other: `veloz user` works while the engine runs,
//!   which sees the change within [`LOOK_EVERY_MS`].
//! - A file that cannot be read stops the start; one that becomes unreadable later is told and the last
//!   good one stays in force, so that a slip of an editor locks nobody out.

use super::document::{Document, VERSION};
use crate::wall::UnixMs;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often the file is looked at for changes of another process.
const LOOK_EVERY_MS: u64 = 1_000;
/// Bytes of the file: users, keys and sessions at their limits take about one.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The file's name.
const NAME: &str = "auth.json";

/// Why there is no store, or why it was not changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refuses.
    #[error("{path}: cannot {act}: {cause}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// The system's reason.
        cause: io::Error,
    },
    /// Others could read it.
    #[error("{path}: others may read it (mode {mode:04o}); expected 0600: chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not what this program wrote.
    #[error("{path}: cannot be understood: {cause}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong; no part of the content.
        cause: String,
    },
}

/// The document, in memory and on disk.
pub struct Store {
    directory: PathBuf,
    kept: Mutex<Kept>,
}

struct Kept {
    document: Document,
    /// The file that `document` was read from or written to.
    stamp: Option<Stamp>,
    looked_at: UnixMs,
    /// Uses of keys since the last write.
    used: BTreeMap<String, UnixMs>,
}

/// Tells one file from the next under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified_s: i64,
    modified_ns: i64,
    bytes: u64,
}

impl Store {
    /// Opens the store in a directory, which is made if it is missing; an empty one holds nobody.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed(directory, "make the directory"))?;
        let store = Self {
            directory: directory.to_owned(),
            kept: Mutex::new(Kept {
                document: Document::new(),
                stamp: None,
                looked_at: UnixMs(0),
                used: BTreeMap::new(),
            }),
        };
        store.lock().reload(&store.path())?;
        Ok(store)
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Looks at the document as it stands, after a look at the file when the last one is long ago.
    pub fn read<R>(&self, now: UnixMs, look: impl FnOnce(&Document) -> R) -> R {
        let mut kept = self.lock();
        if now.0.abs_diff(kept.looked_at.0) >= LOOK_EVERY_MS {
            kept.looked_at = now;
            if let Err(error) = kept.reload(&self.path()) {
                tracing::error!(
                    component = "auth",
                    %error,
                    "the auth file became unreadable; what was read before stays in force"
                );
            }
        }
        look(&kept.document)
    }

    /// Notes that a key was used; written with the next change.
    pub fn key_used(&self, key_id: &str, now: UnixMs) {
        self.lock().used.insert(key_id.to_owned(), now);
    }

    /// When a key was last used, as far as the file does not know yet.
    pub fn last_use(&self, key_id: &str) -> Option<UnixMs> {
        self.lock().used.get(key_id).copied()
    }

    /// Changes the document on disk, then in memory. When `change` fails, neither changes.
    ///
    /// # Errors
    /// What `change` says, or [`StoreError`]; then the change is not in force.
    pub fn update<R, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Document) -> Result<R, E>,
    ) -> Result<R, E> {
        let path = self.path();
        let lock_path = self.directory.join("auth.lock");
        let mut kept = self.lock();
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(failed(&lock_path, "lock"))?;
        kept.reload(&path)?;
        let mut document = kept.document.clone();
        for key in &mut document.keys {
            key.last_used_at = key.last_used_at.max(kept.used.get(&key.key_id).copied());
        }
        let result = change(&mut document)?;
        kept.stamp = Some(write(&self.directory, &path, &document)?);
        kept.document = document;
        kept.used.clear();
        // Held until here.
        drop(lock);
        Ok(result)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic in `look` or `change` leaves the document whole: it is replaced, never edited.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Reads the file if it is another one than before.
    fn reload(&mut self, path: &Path) -> Result<(), StoreError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            // Nobody was added yet. A file that was there and is gone stays in force, as above.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(path, "open")(error)),
        };
        let metadata = file.metadata().map_err(failed(path, "look at"))?;
        let stamp = Stamp::of(&metadata);
        if self.stamp == Some(stamp) {
            return Ok(());
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StoreError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        let content = |cause: String| StoreError::Content {
            path: path.to_owned(),
            cause,
        };
        if metadata.len() > FILE_BYTES_MAX {
            return Err(content(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(failed(path, "read"))?;
        // The parser's words may repeat a value; where it stopped is enough.
        let document: Document = serde_json::from_str(&text).map_err(|error| {
            content(format!("line {}, column {}", error.line(), error.column()))
        })?;
        if document.version != VERSION {
            return Err(content(format!(
                "its format is version {}, expected {VERSION}",
                document.version
            )));
        }
        self.document = document;
        self.stamp = Some(stamp);
        Ok(())
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
            bytes: metadata.len(),
        }
    }
}

/// Replaces the file as a whole.
fn write(directory: &Path, path: &Path, document: &Document) -> Result<Stamp, StoreError> {
    let fresh = directory.join("auth.json.new");
    let text = serde_json::to_string_pretty(document).expect("a document is JSON");
    // A leftover of a process that was killed; its permissions may be anybody's.
    match fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&fresh, "remove")(error)),
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed(&fresh, "make"))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed(&fresh, "write"))?;
    let metadata = file.metadata().map_err(failed(&fresh, "look at"))?;
    fs::rename(&fresh, path).map_err(failed(path, "replace"))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed(directory, "sync"))?;
    Ok(Stamp::of(&metadata))
}

fn failed(path: &Path, act: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |cause| StoreError::Io { path, act, cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::users::UserFault;
    use std::os::unix::fs::PermissionsExt as _;

    fn add(store: &Store, user_id: &str) {
        store
            .update::<_, UserFault>(|document| {
                document.add_user(user_id, "hash".to_owned(), &[], UnixMs(1))
            })
            .expect("added");
    }

    fn users(store: &Store, now: UnixMs) -> Vec<String> {
        store.read(now, |document| document.users.keys().cloned().collect())
    }

    #[test]
    fn a_change_is_on_disk_and_its_owners_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let inner = directory.path().join("state");
        let store = Store::open(&inner).expect("opens");
        assert!(!store.path().exists(), "nothing is written before a change");
        add(&store, "alice");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode(&store.path()), 0o600);
        assert_eq!(mode(&inner), 0o700);
        let again = Store::open(&inner).expect("opens again");
        assert_eq!(users(&again, UnixMs(0)), ["alice"]);
        let secret = |store: &Store| store.read(UnixMs(0), |d| d.signing_secret.clone());
        assert_eq!(secret(&store), secret(&again), "tokens outlive a restart");
    }

    #[test]
    fn two_processes_see_and_keep_each_others_changes() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = Store::open(directory.path()).expect("opens");
        let second = Store::open(directory.path()).expect("opens");
        assert_eq!(users(&first, UnixMs(5_000)), [""; 0]);
        add(&second, "alice");
        assert_eq!(
            users(&first, UnixMs(5_999)),
            [""; 0],
            "looked at a moment ago"
        );
        assert_eq!(users(&first, UnixMs(6_000)), ["alice"]);
        add(&first, "bob");
        add(&second, "carol");
        assert_eq!(users(&second, UnixMs(0)), ["alice", "bob", "carol"]);
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("opens");
        add(&store, "alice");
        let before = fs::read(store.path()).expect("there");
        let failed = store.update::<(), UserFault>(|document| {
            document.users.clear();
            Err(UserFault::Unknown)
        });
        assert!(matches!(failed, Err(UserFault::Unknown)));
        assert_eq!(users(&store, UnixMs(0)), ["alice"]);
        assert_eq!(fs::read(store.path()).expect("there"), before);

        // A disk that takes nothing: the directory of the new file is no directory any more.
        let gone = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(gone.path()).expect("opens");
        gone.close().expect("removed");
        let refused = store.update::<_, UserFault>(|document| {
            document.add_user("bob", "hash".to_owned(), &[], UnixMs(1))
        });
        assert!(matches!(refused, Err(UserFault::Store(_))));
        assert_eq!(users(&store, UnixMs(0)), [""; 0]);
    }

    #[test]
    fn a_file_that_is_not_ours_stops_the_start_and_says_nothing_of_its_content() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join(NAME);
        let write = |text: &str, mode: u32| {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            Store::open(directory.path())
                .err()
                .expect("refused")
                .to_string()
        };
        let store = Store::open(directory.path()).expect("opens");
        add(&store, "alice");
        let good = fs::read_to_string(&path).expect("there");

        let exposed = write(&good, 0o640);
        assert!(exposed.contains("mode 0640"), "{exposed}");
        let torn = write(&good[..good.len() - 3], 0o600);
        assert!(torn.contains("cannot be understood"), "{torn}");
        let missing = write(&good.replace("\"disabled\": false,", ""), 0o600);
        assert!(missing.contains("cannot be understood"), "{missing}");
        let secret = write(&good.replace("\"hash\"", "\"hunter2"), 0o600);
        assert!(!secret.contains("hunter2"), "{secret}");
        let newer = write(&good.replace("\"version\": 1", "\"version\": 2"), 0o600);
        assert!(newer.contains("version 2"), "{newer}");
    }

    #[test]
    fn a_file_that_becomes_unreadable_leaves_the_last_good_one_in_force() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("opens");
        add(&store, "alice");
        fs::write(store.path(), "{").expect("written");
        assert_eq!(users(&store, UnixMs(60_000)), ["alice"]);
        let refused = store.update::<_, UserFault>(|document| {
            document.add_user("bob", "hash".to_owned(), &[], UnixMs(1))
        });
        assert!(
            matches!(refused, Err(UserFault::Store(_))),
            "nothing is written over it"
        );
    }

    #[test]
    fn uses_of_keys_are_kept_until_the_next_write() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("opens");
        store.key_used("vk_1", UnixMs(7));
        assert_eq!(store.last_use("vk_1"), Some(UnixMs(7)));
        add(&store, "alice");
        assert_eq!(store.last_use("vk_1"), None);
    }
}
