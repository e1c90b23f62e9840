//! `veloz user`: the users of the server, from the machine that it runs on.
//!
//! Owns: the command. Does not: know what a user may (`veloz_exporter::auth`). Invariants: a password
//! comes from a terminal without being shown, from standard input or from a file, never from the command
//! line, where every process of the machine could read it; a running engine sees a change within a second;
//! a change is in the audit log, where one is kept, before it is made.

use crate::cli::{EXIT_FAILURE, EXIT_OK, PasswordArgs, UserCommand};
use crate::config::Config;
use serde_json::json;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use veloz_exporter::audit::handed_in::record_act;
use veloz_exporter::audit::record::{Entry, LogType};
use veloz_exporter::audit::store::AuditConfig;
use veloz_exporter::auth::password;
use veloz_exporter::auth::permission::Role;
use veloz_exporter::auth::store::{Store, StoreError};
use veloz_exporter::auth::users::{UserFault, is_user_id};
use veloz_exporter::wall::UnixMs;

/// Runs the command.
pub fn user(config: &Config, command: &UserCommand) -> u8 {
    match places(config).and_then(|(directory, log)| {
        let log = log.as_ref();
        run(&directory, log, command, &given_password)
    }) {
        Ok(text) => {
            print!("{text}");
            EXIT_OK
        }
        Err(sentence) => {
            eprintln!("error: {sentence}");
            EXIT_FAILURE
        }
    }
}

/// Where users are kept, and where what is done to them is recorded: as if somebody already had to say who
/// he is, because that is what users are for.
fn places(config: &Config) -> Result<(PathBuf, Option<AuditConfig>), String> {
    let variable = |name: &str| std::env::var(name).ok();
    let directory = config.auth_directory(variable);
    let mut with_identities = config.clone();
    with_identities.auth.enabled = true;
    let log = with_identities.audit_records(variable);
    directory
        .and_then(|directory| Ok((directory, log?)))
        .map_err(|error| error.to_string())
}

/// A change and its records.
struct Act<'a> {
    log: Option<&'a AuditConfig>,
    now: UnixMs,
    user_id: &'a str,
    /// What the record says.
    done: &'static str,
    /// What a second record says, when it could not be done after all.
    failed: &'static str,
}

impl Act<'_> {
    /// Records it, then does it.
    fn by(
        &self,
        roles: &[Role],
        work: impl FnOnce() -> Result<(), UserFault>,
    ) -> Result<(), String> {
        let record = |action| {
            let Some(log) = self.log else { return Ok(()) };
            let roles: Vec<&str> = roles.iter().map(|role| role.label()).collect();
            // Who runs this process owns its entry there.
            let os_uid = std::fs::metadata("/proc/self").ok().map(|of| of.uid());
            let details = json!({ "user": self.user_id, "roles": roles, "os_uid": os_uid });
            let mut entry = Entry::of_system(LogType::Auth, action, self.now, details);
            "local".clone_into(&mut entry.user_id);
            record_act(log, entry)
        };
        record(self.done)
            .map_err(|error| format!("nothing was done, because it cannot be recorded: {error}"))?;
        work().map_err(|fault| {
            let unrecorded = record(self.failed).err();
            let unrecorded = unrecorded.map(|error| format!(", which cannot be recorded: {error}"));
            format!(
                "{}: {fault}{}",
                self.user_id,
                unrecorded.unwrap_or_default()
            )
        })
    }
}

/// Does it; gives what there is to print. `ask` gets the password.
fn run(
    directory: &Path,
    log: Option<&AuditConfig>,
    command: &UserCommand,
    ask: &dyn Fn(&PasswordArgs) -> Result<String, String>,
) -> Result<String, String> {
    let store = Store::open(directory).map_err(|error: StoreError| error.to_string())?;
    let now = UnixMs::now();
    let told =
        |user_id: &str, what: &str| format!("{user_id} {what} in {}\n", store.path().display());
    let act = |user_id, done, failed| Act {
        log,
        now,
        user_id,
        done,
        failed,
    };
    let must_exist = |user_id: &str| {
        let exists = store.read(now, |document| {
            document.users().any(|(id, _)| id == user_id)
        });
        let unknown = || format!("{user_id}: {}", UserFault::Unknown);
        exists.then_some(()).ok_or_else(unknown)
    };
    match command {
        UserCommand::Add(arguments) => {
            let user_id = &arguments.user_id;
            let exists = store.read(now, |document| {
                document.users().any(|(id, _)| id == user_id)
            });
            // Before anybody types a password for nothing.
            if !is_user_id(user_id) || exists {
                let fault = if exists {
                    UserFault::Exists
                } else {
                    UserFault::BadId
                };
                return Err(format!("{user_id}: {fault}"));
            }
            let roles = roles(&arguments.role)?;
            let hash =
                password::hash(&ask(&arguments.password)?).map_err(|fault| fault.to_string())?;
            act(user_id, "user_added", "user_add_failed").by(&roles, || {
                store.update(|document| document.add_user(user_id, hash, &roles, now))
            })?;
            Ok(told(user_id, "is a user now"))
        }
        UserCommand::Passwd(arguments) => {
            let user_id = &arguments.user_id;
            must_exist(user_id)?;
            let hash =
                password::hash(&ask(&arguments.password)?).map_err(|fault| fault.to_string())?;
            act(user_id, "password_set", "password_set_failed").by(&[], || {
                store.update(|document| document.set_password(user_id, hash))
            })?;
            Ok(told(user_id, "has another password, and no session"))
        }
        UserCommand::Disable { user_id } => {
            must_exist(user_id)?;
            act(user_id, "user_disabled", "user_disable_failed").by(&[], || {
                store.update(|document| document.set_disabled(user_id, true))
            })?;
            Ok(told(user_id, "is disabled, and has no session"))
        }
        UserCommand::Enable { user_id } => {
            must_exist(user_id)?;
            act(user_id, "user_enabled", "user_enable_failed").by(&[], || {
                store.update(|document| document.set_disabled(user_id, false))
            })?;
            Ok(told(user_id, "is enabled"))
        }
        UserCommand::List => Ok(store.read(now, |document| {
            let mut text = String::new();
            for (user_id, user) in document.users() {
                let roles: Vec<&str> = user.roles.iter().map(|role| role.label()).collect();
                let state = if user.disabled { "disabled" } else { "enabled" };
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "{user_id}\t{}\t{state}\tsince {}",
                    roles.join(","),
                    user.created_at.rfc3339()
                );
            }
            text
        })),
    }
}

fn roles(names: &[String]) -> Result<Vec<Role>, String> {
    names
        .iter()
        .map(|name| {
            Role::named(name).ok_or_else(|| {
                format!("no role is called {name:?}: viewer, trader or admin is expected")
            })
        })
        .collect()
}

/// The password: of the named file, else of standard input, else typed twice without being shown.
fn given_password(arguments: &PasswordArgs) -> Result<String, String> {
    if let Some(path) = &arguments.password_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        return Ok(first_line(&text));
    }
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| format!("standard input: {error}"))?;
        return Ok(first_line(&line));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map_err(|error| format!("the terminal: {error}"))
    };
    let first = ask("Password: ")?;
    if ask("Again: ")? != first {
        return Err("the two passwords differ".to_owned());
    }
    Ok(first)
}

/// Files and pipes end their lines; a password does not.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{AddUserArgs, PasswdArgs};
    use serde_json::Value;
    use veloz_exporter::audit::query::AuditQuery;
    use veloz_exporter::audit::verify::verify;

    const NONE: PasswordArgs = PasswordArgs {
        password_file: None,
    };

    fn add(user_id: &str, role: &str) -> UserCommand {
        UserCommand::Add(AddUserArgs {
            user_id: user_id.to_owned(),
            role: vec![role.to_owned()],
            password: NONE,
        })
    }

    #[test]
    fn users_are_added_listed_changed_and_kept_out() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ask = |_: &PasswordArgs| Ok("correct horse".to_owned());
        let audit = directory.path().join("audit");
        let log = AuditConfig {
            directory: audit.clone(),
            copy: None,
            heads: None,
            retention_days_min: 0,
        };
        let run = |command: &UserCommand| run(directory.path(), Some(&log), command, &ask);
        let added = run(&add("root", "admin")).expect("added");
        assert!(added.starts_with("root is a user now in "), "{added}");
        run(&add("tom", "trader")).expect("added");
        let twice = run(&add("tom", "trader")).expect_err("refused");
        assert_eq!(twice, "tom: there is a user of this id already");
        let king = run(&add("otto", "king")).expect_err("refused");
        assert!(king.contains("no role is called \"king\""), "{king}");
        let tom = "tom".to_owned();
        run(&UserCommand::Disable {
            user_id: tom.clone(),
        })
        .expect("known");
        let list = run(&UserCommand::List).expect("read");
        let lines: Vec<&str> = list.lines().collect();
        assert!(
            lines[0].starts_with("root\tadmin\tenabled\tsince 20"),
            "{list}"
        );
        assert!(lines[1].starts_with("tom\ttrader\tdisabled\t"), "{list}");
        assert!(!list.contains("argon2"), "{list}");
        run(&UserCommand::Enable { user_id: tom }).expect("known");
        let last = run(&UserCommand::Disable {
            user_id: "root".to_owned(),
        });
        assert!(last.expect_err("refused").contains("last admin"));
        let passwd = UserCommand::Passwd(PasswdArgs {
            user_id: "nobody".to_owned(),
            password: NONE,
        });
        assert_eq!(
            run(&passwd).expect_err("refused"),
            "nobody: there is no user of this id"
        );

        let report = verify(&audit).expect("read");
        assert_eq!((report.fault.clone(), report.records()), (None, 6));
        let query = AuditQuery {
            limit: 10,
            ..AuditQuery::default()
        };
        let records = query.run(&audit).expect("read").records;
        let acts: Vec<String> = records
            .iter()
            .rev()
            .map(|record| {
                let record: Value = serde_json::from_str(record.get()).expect("JSON");
                assert_eq!(record["user_id"], "local");
                let (action, details) = (&record["action"], &record["details"]);
                format!("{action} {} {}", details["user"], details["roles"]).replace('"', "")
            })
            .collect();
        let expected = [
            "user_added root [admin]",
            "user_added tom [trader]",
            "user_disabled tom []",
            "user_enabled tom []",
            "user_disabled root []",
            "user_disable_failed root []",
        ];
        assert_eq!(acts, expected);
    }

    #[test]
    fn what_cannot_be_recorded_is_not_done() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("file");
        std::fs::write(&file, "").expect("written");
        let log = AuditConfig {
            directory: file.join("audit"),
            copy: None,
            heads: None,
            retention_days_min: 0,
        };
        let ask = |_: &PasswordArgs| Ok("correct horse".to_owned());
        let refused = run(directory.path(), Some(&log), &add("tom", "admin"), &ask);
        let sentence = refused.expect_err("refused");
        assert!(
            sentence.starts_with("nothing was done, because"),
            "{sentence}"
        );
        let list = run(directory.path(), None, &UserCommand::List, &ask);
        assert_eq!(list.as_deref(), Ok(""));
    }

    #[test]
    fn a_password_comes_from_a_file_and_is_checked() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("password");
        std::fs::write(&path, "correct horse\n").expect("written");
        let from = PasswordArgs {
            password_file: Some(path),
        };
        assert_eq!(given_password(&from).as_deref(), Ok("correct horse"));
        let missing = PasswordArgs {
            password_file: Some("/no/such/file".into()),
        };
        let refused = given_password(&missing).expect_err("refused");
        assert!(
            refused.starts_with("/no/such/file: cannot be read"),
            "{refused}"
        );
        let short = run(directory.path(), None, &add("tom", "viewer"), &|_| {
            Ok("short".to_owned())
        });
        assert!(short.expect_err("refused").contains("at least 8 bytes"));
    }
}
