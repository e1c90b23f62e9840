//! `veloz user`: the users of the server, from the machine that it runs on.
//!
//! Owns: the command. Does not: know what a user may (`veloz_exporter::auth`). Invariants: a password
//! comes from a terminal without being shown, from standard input or from a file, never from the command
//! line, where every process of the machine could read it; a running engine sees a change within a second.

use crate::cli::{EXIT_FAILURE, EXIT_OK, PasswordArgs, UserCommand};
use crate::config::Config;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;
use veloz_exporter::auth::password;
use veloz_exporter::auth::permission::Role;
use veloz_exporter::auth::store::{Store, StoreError};
use veloz_exporter::auth::users::{UserFault, is_user_id};
use veloz_exporter::wall::UnixMs;

/// Runs the command.
pub fn user(config: &Config, command: &UserCommand) -> u8 {
    let outcome = config
        .auth_directory(|name| std::env::var(name).ok())
        .map_err(|error| error.to_string())
        .and_then(|directory| run(&directory, command, &given_password));
    match outcome {
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

/// Does it; gives what there is to print. `ask` gets the password.
fn run(
    directory: &Path,
    command: &UserCommand,
    ask: &dyn Fn(&PasswordArgs) -> Result<String, String>,
) -> Result<String, String> {
    let store = Store::open(directory).map_err(|error: StoreError| error.to_string())?;
    let now = UnixMs::now();
    let told =
        |what: &str, user_id: &str| format!("{user_id} {what} in {}\n", store.path().display());
    let change = |user_id: &str, result: Result<(), UserFault>, what: &str| {
        result
            .map(|()| told(what, user_id))
            .map_err(|fault| format!("{user_id}: {fault}"))
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
            let added = store.update(|document| document.add_user(user_id, hash, &roles, now));
            change(user_id, added, "is a user now")
        }
        UserCommand::Passwd(arguments) => {
            let user_id = &arguments.user_id;
            let hash =
                password::hash(&ask(&arguments.password)?).map_err(|fault| fault.to_string())?;
            let set = store.update(|document| document.set_password(user_id, hash));
            change(user_id, set, "has another password, and no session")
        }
        UserCommand::Disable { user_id } => {
            let set = store.update(|document| document.set_disabled(user_id, true));
            change(user_id, set, "is disabled, and has no session")
        }
        UserCommand::Enable { user_id } => {
            let set = store.update(|document| document.set_disabled(user_id, false));
            change(user_id, set, "is enabled")
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
        let run = |command: &UserCommand| run(directory.path(), command, &ask);
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
        let short = run(directory.path(), &add("tom", "viewer"), &|_| {
            Ok("short".to_owned())
        });
        assert!(short.expect_err("refused").contains("at least 8 bytes"));
    }
}
