//! Records of other processes: what `veloz user` does while the engine writes the log.
//!
//! Owns: [`record_act`], and the folder in which such a record waits until the engine takes it into its
//! chain. Does not: bind a record itself; whoever writes the log does. Invariants: a record is on the disk
//! before its act is done, in the chain or in the folder; a file in the folder is whole; one that cannot be
//! understood is put aside and told, never dropped; a crash may take a record twice, never lose it.

use super::files::sync_directory;
use super::record::{Entry, LogType};
use super::store::{AuditConfig, AuditError, AuditStore};
use crate::wall::UnixMs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The folder.
const FOLDER: &str = "handed_in";
/// Bytes of one record; ours have some hundred.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Records taken at once; the next turn takes more.
const TAKEN_MAX: usize = 64;

/// An entry as it waits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandedIn {
    at: UnixMs,
    log_type: String,
    action: String,
    user_id: String,
    details: Map<String, Value>,
    request_id: String,
}

/// Records an act of a process that does not write the log otherwise, and waits for the disk: before it is
/// done. While another process has the log, the record waits for it there.
///
/// # Errors
/// [`AuditError`]; then the act must not be done.
pub fn record_act(config: &AuditConfig, entry: Entry) -> Result<(), AuditError> {
    let at = entry.at;
    match AuditStore::open(config, at) {
        Ok((mut store, findings)) => {
            let log_type = entry.log_type;
            let mut batch = findings;
            batch.push(entry);
            let written = store.append(&batch);
            written[&log_type].clone().map_err(|cause| AuditError::Io {
                path: config.directory.clone(),
                act: "append to it",
                cause: io::Error::other(cause),
            })
        }
        Err(AuditError::Taken(directory)) => {
            hand_in(&directory, &entry).map_err(|cause| AuditError::Io {
                path: directory.join(FOLDER),
                act: "hand a record in",
                cause,
            })
        }
        Err(error @ AuditError::Io { .. }) => Err(error),
    }
}

fn hand_in(directory: &Path, entry: &Entry) -> io::Result<()> {
    let folder = directory.join(FOLDER);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)?;
    sync_directory(directory)?;
    let text = serde_json::to_string(&HandedIn {
        at: entry.at,
        log_type: entry.log_type.label().to_owned(),
        action: entry.action.clone().into_owned(),
        user_id: entry.user_id.clone(),
        details: entry.details.clone(),
        request_id: entry.request_id.clone(),
    })?;
    // In the order of their times.
    let name = format!("{:015}-{}", entry.at.0, crate::random::hex::<8>());
    let fresh = folder.join(format!("{name}.tmp"));
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(format!("{name}.json")))?;
    sync_directory(&folder)
}

/// What waits in a directory, oldest first, with the files to remove once it is written.
pub(super) fn take(directory: &Path, now: UnixMs) -> io::Result<(Vec<Entry>, Vec<PathBuf>)> {
    let folder = directory.join(FOLDER);
    let listed = match fs::read_dir(&folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    files.truncate(TAKEN_MAX);
    let mut entries = Vec::new();
    let mut taken = Vec::new();
    for path in files {
        if let Some(entry) = read(&path)? {
            entries.push(entry);
            taken.push(path);
        } else {
            let aside = path.with_extension("unreadable");
            fs::rename(&path, &aside)?;
            let name = aside.file_name().unwrap_or_default().to_string_lossy();
            tracing::error!(component = "audit", file = %name, "a record was handed in that is none");
            let details = json!({ "finding": "handed_in_unreadable", "file": name });
            entries.push(Entry::of_system(
                LogType::Error,
                "audit_log_damaged",
                now,
                details,
            ));
        }
    }
    Ok((entries, taken))
}

/// The entry in a file; `None` when there is none.
fn read(path: &Path) -> io::Result<Option<Entry>> {
    let mut text = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut text)?;
    let found = serde_json::from_slice::<HandedIn>(&text).ok();
    Ok(found.and_then(|found| {
        Some(Entry {
            at: found.at,
            log_type: LogType::named(&found.log_type)?,
            action: found.action.into(),
            user_id: found.user_id,
            address: None,
            details: found.details,
            request_id: found.request_id,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::tests::entry;
    use crate::audit::store::tests::{NOON, config, open};
    use crate::audit::verify::verify;

    fn act(at: u64) -> Entry {
        Entry {
            address: None,
            ..entry(LogType::Auth, "user_added", at)
        }
    }

    #[test]
    fn an_act_is_in_the_chain_or_waits_for_who_writes_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = config(directory.path());
        record_act(&config, act(NOON)).expect("written");
        assert_eq!(verify(directory.path()).expect("read").records(), 1);

        let (_writes, _) = open(directory.path());
        record_act(&config, act(NOON + 2)).expect("handed in");
        record_act(&config, act(NOON + 1)).expect("handed in");
        assert_eq!(verify(directory.path()).expect("read").records(), 1);
        let (entries, files) = take(directory.path(), UnixMs(NOON)).expect("read");
        assert_eq!(entries, [act(NOON + 1), act(NOON + 2)]);
        assert_eq!(files.len(), 2);
        // Nothing goes before it is written.
        let (again, _) = take(directory.path(), UnixMs(NOON)).expect("read");
        assert_eq!(again, entries);
    }

    #[test]
    fn what_cannot_be_understood_is_put_aside_and_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = directory.path().join(FOLDER);
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("1.json"), "{\"at\":1}").expect("written");
        fs::write(folder.join("2.tmp"), "half").expect("written");
        let (entries, files) = take(directory.path(), UnixMs(NOON)).expect("read");
        assert_eq!(entries[0].details["file"], "1.unreadable");
        assert!(files.is_empty() && entries.len() == 1);
        let nothing = take(directory.path(), UnixMs(NOON)).expect("read");
        assert_eq!(nothing, Default::default());
    }

    #[test]
    fn an_act_that_cannot_be_recorded_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("written");
        let nowhere = record_act(&config(&file.join("audit")), act(NOON));
        assert!(matches!(nowhere, Err(AuditError::Io { .. })));
        let (_writes, _) = open(directory.path());
        fs::write(directory.path().join(FOLDER), "").expect("written");
        let error = record_act(&config(directory.path()), act(NOON)).expect_err("refused");
        assert!(
            error.to_string().contains("cannot hand a record in"),
            "{error}"
        );
    }
}
