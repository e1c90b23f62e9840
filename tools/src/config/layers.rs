//! Layers of configuration, merged key by key: built-in file, overlay files, environment, flags.
//!
//! Owns: [`Layers`], where each value came from, and every error of a single key. Does not: build
//! the structs or check keys against each other (`config.rs`). Invariants: a secret's value is
//! taken from the environment or a file it names, and appears in no message; all faults of all
//! layers are reported together.

use super::environment::{self, Resolved};
use super::keys::{self, KEYS};
use super::private_file::{self, PrivateFileFault};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Value;

/// Bytes of one configuration file: ours has about ten thousand, a list of 256 symbols three thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Characters of a wrong value that a message repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in `config/veloz.toml`.
    BuiltIn,
    /// A configuration file.
    File {
        /// Its path as given.
        path: PathBuf,
        /// Line of the key, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// The flag `--set`.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("config/veloz.toml (built in)"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag => f.write_str("flag --set"),
        }
    }
}

/// One fault of the configuration, as a sentence that names where, what and what was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words, or what is wrong with the file.
        cause: String,
    },
    /// The file that a variable names for a secret must not be read.
    #[error("{fault} (named by environment variable {variable})")]
    SecretFile {
        /// The variable.
        variable: String,
        /// What is wrong with the file.
        fault: PrivateFileFault,
    },
    /// The file is not TOML. Its text is not repeated: it may hold a secret.
    #[error("{}:{line}:{column}: not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// No such key.
    #[error("{origin}: unknown key `{key}` (value {value}); {hint}")]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key as written.
        key: String,
        /// Its value, redacted when its name sounds secret.
        value: String,
        /// A near key, or how to list them.
        hint: String,
    },
    /// The value is not what the key expects.
    #[error("{origin}: `{key}` is {value}, expected {expected}")]
    BadValue {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: String,
        /// Its value, redacted when the key is a secret.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// A secret stands where others can read it.
    #[error(
        "{origin}: `{key}` is a secret and is taken from the environment only: put its value into a file and name that in {variable}_FILE"
    )]
    ExposedSecret {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The variable to use instead.
        variable: String,
    },
    /// A `VELOZ_*` variable that nothing knows.
    #[error("environment variable {name} (value {value}) is unknown; {hint}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// Its value, redacted when its name sounds secret.
        value: String,
        /// A near key, or how to list them.
        hint: String,
    },
    /// A `--set` that is not `key=value`.
    #[error("flag --set {text:?}: expected key=value, such as http.port=9000")]
    BadFlag {
        /// The flag's text up to the first `=`.
        text: String,
    },
    /// Keys that are fine alone contradict each other.
    #[error("{0}")]
    Contradiction(String),
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The value in its normal form.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Values by key path.
pub type Entries = BTreeMap<String, Entry>;

/// The merged layers so far.
#[derive(Default)]
pub struct Layers {
    entries: Entries,
    faults: Vec<Fault>,
    warnings: Vec<String>,
}

impl Layers {
    /// Puts the text of a file over what is there.
    pub fn add_text(&mut self, path: Option<&Path>, text: &str) {
        let shown = path.unwrap_or_else(|| Path::new("config/veloz.toml"));
        let table = match toml::de::DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                let (line, column) = position(text, offset);
                // Only the parser's own words: the source line could hold a secret.
                self.faults.push(Fault::Syntax {
                    path: shown.to_owned(),
                    line,
                    column,
                    message: error.message().to_owned(),
                });
                return;
            }
        };
        let values: toml::Table = match toml::from_str(text) {
            Ok(values) => values,
            Err(error) => {
                self.faults.push(Fault::Syntax {
                    path: shown.to_owned(),
                    line: 1,
                    column: 1,
                    message: error.message().to_owned(),
                });
                return;
            }
        };
        let origin = |offset: usize| match path {
            None => Origin::BuiltIn,
            Some(path) => Origin::File {
                path: path.to_owned(),
                line: position(text, offset).0,
            },
        };
        self.put_table("", table.get_ref(), &values, &origin);
    }

    /// Puts every value of a table and of the tables in it; `prefix` is the table's path with a dot behind.
    fn put_table(
        &mut self,
        prefix: &str,
        spans: &toml::de::DeTable<'_>,
        values: &toml::Table,
        origin: &impl Fn(usize) -> Origin,
    ) {
        for (name, content) in spans {
            let path = format!("{prefix}{}", name.get_ref());
            let Some(value) = values.get(name.get_ref().as_ref()) else {
                unreachable!("both are the same text");
            };
            match (content.get_ref().as_table(), value.as_table()) {
                (Some(spans), Some(values)) => {
                    self.put_table(&format!("{path}."), spans, values, origin);
                }
                _ => self.put(&path, value, origin(name.span().start)),
            }
        }
    }

    /// Puts an overlay file over what is there.
    pub fn add_file(&mut self, path: &Path) {
        let unreadable = |cause: String| Fault::Unreadable {
            path: path.to_owned(),
            cause,
        };
        match std::fs::metadata(path) {
            Err(error) => return self.faults.push(unreadable(error.to_string())),
            Ok(meta) if meta.len() > FILE_BYTES_MAX => {
                return self.faults.push(unreadable(format!(
                    "{} bytes, expected at most {FILE_BYTES_MAX}",
                    meta.len()
                )));
            }
            Ok(_) => {}
        }
        match std::fs::read_to_string(path) {
            Ok(text) => self.add_text(Some(path), &text),
            Err(error) => self.faults.push(unreadable(error.to_string())),
        }
    }

    /// Puts environment variables over what is there.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let mut variables: Vec<_> = variables.into_iter().collect();
        variables.sort_unstable();
        for (name, text) in variables {
            match environment::resolve(&name, &text) {
                Resolved::Foreign => {}
                // An empty variable is how a compose file spells "not set".
                _ if text.is_empty() => {}
                Resolved::Sets { key, text } => {
                    let known = keys::find(&key).expect("resolved to a key of the table");
                    let value = known.kind.value_of_text(&text);
                    self.check(known, &key, &value, Origin::Variable(name));
                }
                Resolved::SecretFile { key } => self.add_secret_file(key, name, &text),
                Resolved::Ignored(explanation) => self.warnings.push(format!(
                    "environment variable {name} has no effect: {explanation}"
                )),
                Resolved::Unknown => {
                    let path = environment::words_of(&name);
                    self.faults.push(Fault::UnknownVariable {
                        value: shown(&name, &text.as_str().into()),
                        name,
                        hint: hint(&path),
                    });
                }
            }
        }
    }

    /// Puts `--set key=value` over what is there.
    pub fn add_flag(&mut self, flag: &str) {
        let Some((path, text)) = flag.split_once('=') else {
            return self.faults.push(Fault::BadFlag {
                text: flag.chars().take(SHOWN_CHARS_MAX).collect(),
            });
        };
        let path = path.trim();
        let value =
            keys::find(path).map_or_else(|| text.into(), |key| key.kind.value_of_text(text));
        self.put(path, &value, Origin::Flag);
    }

    /// The merged entries with the warnings, or every fault.
    pub fn finish(self) -> Result<(Entries, Vec<String>), Vec<Fault>> {
        if self.faults.is_empty() {
            Ok((self.entries, self.warnings))
        } else {
            Err(self.faults)
        }
    }

    fn add_secret_file(&mut self, key: &'static str, variable: String, path: &str) {
        let known = keys::find(key).expect("resolved to a key of the table");
        match private_file::read(Path::new(path)) {
            Ok(content) => {
                // What is not UTF-8 is no graphic ASCII either, which the key expects.
                let value = known.kind.value_of_text(&String::from_utf8_lossy(&content));
                self.check(known, key, &value, Origin::Variable(variable));
            }
            Err(fault) => self.faults.push(Fault::SecretFile { variable, fault }),
        }
    }

    fn put(&mut self, path: &str, value: &Value, origin: Origin) {
        let Some(known) = keys::find(path) else {
            return self.faults.push(Fault::UnknownKey {
                value: shown(path, value),
                key: path.chars().take(SHOWN_CHARS_MAX).collect(),
                hint: hint(path),
                origin,
            });
        };
        if known.kind.is_secret() {
            // The built-in file documents the key and leaves it empty.
            if value.as_str() != Some("") {
                self.faults.push(Fault::ExposedSecret {
                    origin,
                    key: known.path,
                    variable: variable_of(known.path),
                });
            }
            return;
        }
        self.check(known, path, value, origin);
    }

    fn check(&mut self, known: &keys::Key, path: &str, value: &Value, origin: Origin) {
        match known.kind.accept(value) {
            Some(value) => {
                self.entries
                    .insert(path.to_owned(), Entry { value, origin });
            }
            None => self.faults.push(Fault::BadValue {
                value: if known.kind.is_secret() {
                    REDACTED.to_owned()
                } else {
                    shown("", value)
                },
                expected: known.kind.expected(),
                key: path.to_owned(),
                origin,
            }),
        }
    }
}

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// The variable that sets a key: the documented one, else the canonical spelling.
pub fn variable_of(path: &str) -> String {
    environment::VARIABLES
        .iter()
        .find(|(_, meaning)| matches!(meaning, environment::Meaning::Sets(key, _) if *key == path))
        .map_or_else(
            || format!("VELOZ_{}", path.to_ascii_uppercase().replace('.', "__")),
            |(name, _)| (*name).to_owned(),
        )
}

fn hint(path: &str) -> String {
    keys::nearest(path).map_or_else(
        || format!("`veloz config print` lists all {} keys", KEYS.len()),
        |near| format!("did you mean `{near}`?"),
    )
}

/// A value for a message: short, and redacted when its name or its look suggests a credential.
fn shown(name: &str, value: &Value) -> String {
    let text = value.to_string();
    if keys::sounds_secret(name) || text.contains('@') {
        return REDACTED.to_owned();
    }
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start}...")
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let column = before
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count()
        + 1;
    (line, column)
}
