//! `[auth]` and `[audit]`: who may do what, and what is written down about it.
//!
//! Owns: the sections, and where their files lie. Does not: open a file.

use super::Config;
use super::secret::Secret;
use super::trading::NoStateDirectory;
use secrecy::SecretString;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
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
