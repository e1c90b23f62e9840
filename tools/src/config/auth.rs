//! `[auth]` and `[audit]`: who may do what, and what is written down about it.
//!
//! Owns: the sections, and where their files lie. Does not: open a file.

use super::secret::Secret;
use super::trading::NoStateDirectory;
use super::{Config, ExecutionMode};
use secrecy::SecretString;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use veloz_exporter::audit::files::heads_file;
use veloz_exporter::audit::store::AuditConfig;
use veloz_exporter::auth::AuthConfig;

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSection {
    /// Whether everybody has to say who he is.
    pub enabled: bool,
    /// Directory of the file with users, keys and sessions, or `auto`.
    pub dir: PathBuf,
    /// Signs tokens.
    #[serde(default)]
    pub jwt_secret: Secret,
    /// Password of the first admin.
    #[serde(default)]
    pub admin_password: Secret,
    /// What scrapers show.
    #[serde(default)]
    pub scrape_token: Secret,
    /// How long an access token is good, in seconds.
    pub access_token_s: u64,
    /// How long a refresh token is good, in seconds.
    pub refresh_token_s: u64,
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSection {
    /// Whether records are kept.
    pub enabled: bool,
    /// Directory of the records, or `auto`.
    pub dir: PathBuf,
    /// File that takes a copy of every record; empty for none.
    pub file: PathBuf,
    /// Days that every type is kept at least; 0 for each type's own.
    pub retention_days_min: u32,
}

/// The word that lets the program choose.
const AUTO: &str = "auto";

impl Config {
    /// Where users, keys and sessions are kept: the configured directory, else that of the state. A user
    /// outlives a simulated account, so there is always one.
    ///
    /// # Errors
    /// [`NoStateDirectory`] when the environment names none.
    pub fn auth_directory(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<PathBuf, NoStateDirectory> {
        if self.auth.dir == Path::new(AUTO) {
            self.state_directory(variable)
        } else {
            Ok(self.auth.dir.clone())
        }
    }

    /// What the sidecar is told about identities; `None` when nobody has to say who he is.
    ///
    /// # Errors
    /// [`NoStateDirectory`] when there is no place for them.
    pub fn identities(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<AuthConfig>, NoStateDirectory> {
        if !self.auth.enabled {
            return Ok(None);
        }
        Ok(Some(AuthConfig {
            directory: self.auth_directory(variable)?,
            jwt_secret: exposed(&self.auth.jwt_secret),
            admin_password: exposed(&self.auth.admin_password),
            access_life: Duration::from_secs(self.auth.access_token_s),
            refresh_life: Duration::from_secs(self.auth.refresh_token_s),
        }))
    }

    /// Where audit records are kept: the configured directory, else `audit` in that of the state; `None`
    /// when they are not kept, or when neither money nor identities are at stake and nobody named a place.
    ///
    /// # Errors
    /// [`NoStateDirectory`] when there is no place for them.
    pub fn audit_directory(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<PathBuf>, NoStateDirectory> {
        if !self.audit.enabled {
            return Ok(None);
        }
        let auto = Path::new(AUTO);
        if self.audit.dir != auto {
            return Ok(Some(self.audit.dir.clone()));
        }
        let simulated = self.venue.execution_mode == ExecutionMode::SimEngine;
        if simulated && !self.auth.enabled && self.state.dir == auto {
            return Ok(None);
        }
        Ok(Some(self.state_directory(variable)?.join("audit")))
    }

    /// What the sidecar is told about audit records.
    ///
    /// # Errors
    /// [`NoStateDirectory`] when there is no place for them.
    pub fn audit_records(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<AuditConfig>, NoStateDirectory> {
        let copy = &self.audit.file;
        let state = self.state_directory(&variable).ok();
        Ok(self
            .audit_directory(&variable)?
            .map(|directory| AuditConfig {
                heads: state.map(|state| heads_file(&state, &directory)),
                directory,
                copy: (!copy.as_os_str().is_empty()).then(|| copy.clone()),
                retention_days_min: self.audit.retention_days_min,
            }))
    }

    /// What scrapers show, when they have to show something.
    pub fn scrape_token(&self) -> Option<SecretString> {
        exposed(&self.auth.scrape_token)
    }
}

fn exposed(secret: &Secret) -> Option<SecretString> {
    secret.is_set().then(|| secret.expose().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn config(text: &str) -> Config {
        load_text("test.toml", text).expect("valid").config
    }

    fn home(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/me".to_owned())
    }

    #[test]
    fn records_are_kept_where_something_is_at_stake() {
        let place = |text: &str| config(text).audit_directory(home).expect("a home");
        let kept = Some(PathBuf::from("/home/me/.local/state/veloz/audit"));
        assert_eq!(place(""), None);
        assert_eq!(place("[auth]\nenabled = true\n"), kept);
        let testnet = "[venue]\nsource = \"binance\"\nexecution_mode = \"binance_testnet_spot\"\n";
        assert_eq!(place(testnet), kept);
        assert_eq!(place(&format!("{testnet}[audit]\nenabled = false\n")), None);
        assert_eq!(place("[audit]\ndir = \"here\"\n"), Some("here".into()));
        let text = "[audit]\ndir = \"here\"\nfile = \"copy\"\nretention_days_min = 400\n";
        let records = config(text)
            .audit_records(home)
            .expect("a home")
            .expect("named");
        assert_eq!(records.copy, Some("copy".into()));
        let heads = records.heads.expect("a home");
        assert!(
            heads.starts_with("/home/me/.local/state/veloz"),
            "{heads:?}"
        );
        assert_eq!(records.retention_days_min, 400);
    }

    #[test]
    fn identities_are_off_until_they_are_asked_for() {
        assert!(config("").identities(home).expect("a home").is_none());
        let on = config("[auth]\nenabled = true\naccess_token_s = 60\n");
        let auth = on.identities(home).expect("a home").expect("on");
        assert_eq!(auth.directory, Path::new("/home/me/.local/state/veloz"));
        assert_eq!(auth.access_life, Duration::from_mins(1));
        assert_eq!(auth.refresh_life, Duration::from_hours(168));
        assert!(auth.jwt_secret.is_none());
        assert_eq!(on.identities(|_| None).err(), Some(NoStateDirectory));
        let named = config("[auth]\nenabled = true\ndir = \"here\"\n");
        let auth = named.identities(|_| None).expect("named").expect("on");
        assert_eq!(auth.directory, Path::new("here"));
    }
}
