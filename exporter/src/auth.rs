//! Who is there, and what he may do.
//!
//! Owns: [`Auth`], [`Principal`]. Does not: know HTTP, or write the audit log; its callers do. What a
//! role may is in `auth/permission.rs`, what is kept is in `auth/document.rs`. Invariants: a password is
//! compared on a blocking thread, and at most [`COMPARISONS_MAX`] at a time; every answer about an
//! identity comes from the document as it stands, so a change is in force with the next request.

mod attempts;
pub mod digest;
pub mod document;
pub mod keys;
pub mod metrics;
pub mod password;
pub mod permission;
pub mod sessions;
pub mod store;
pub mod tickets;
pub mod token;
pub mod users;

use crate::http::rate::{BucketClock, RateRule};
use crate::wall::UnixMs;
use attempts::LoginAttempts;
use document::Session;
use keys::BadKey;
use metrics::{AuthMetrics, Means, Outcome};
use password::PasswordFault;
use permission::{Permission, Permissions, Role};
use secrecy::{ExposeSecret as _, SecretString};
use sessions::Refresh;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{Store, StoreError};
use tickets::Tickets;
use token::{Claims, Purpose, Signer, TokenFault};
use tokio::sync::Semaphore;
use users::UserFault;

/// Passwords compared at once: each takes a blocking thread, 30 ms and 19 MiB.
const COMPARISONS_MAX: usize = 2;
/// Bytes of a configured signing secret, at least: less could be guessed from one token.
const SECRET_BYTES_MIN: usize = 32;
/// The user that the first password is for.
pub const FIRST_ADMIN: &str = "admin";

/// What [`Auth`] needs to know.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Where users, keys and sessions are kept.
    pub directory: PathBuf,
    /// Signs tokens; without it a random one is made and kept in the file.
    pub jwt_secret: Option<SecretString>,
    /// Password of the first admin, used while there is no user.
    pub admin_password: Option<SecretString>,
    /// How long an access token is good.
    pub access_life: Duration,
    /// How long a refresh token is good.
    pub refresh_life: Duration,
}

/// Why nobody could log in; a fault of the start.
#[derive(Debug, thiserror::Error)]
pub enum AuthStartError {
    /// The file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret that could be guessed.
    #[error("the signing secret has {0} bytes, expected at least {SECRET_BYTES_MIN}")]
    WeakSecret(usize),
    /// The first password.
    #[error("the first admin's password: {0}")]
    AdminPassword(PasswordFault),
    /// No user, and no password for a first one.
    #[error("{0}: nobody could log in, for there is no user")]
    Nobody(PathBuf),
}

/// Somebody who may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user_id: String,
    /// What may be done in this user's name here.
    pub permissions: Permissions,
    /// How it is known.
    pub via: Via,
}

/// How a principal is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// It is on this machine, and that is enough.
    Machine,
    /// By a login.
    Session {
        /// The session.
        session_id: String,
    },
    /// By an API key.
    Key {
        /// The key.
        key_id: String,
        /// How often it may ask, when not as often as anybody.
        rate: Option<RateRule>,
    },
    /// By a stream ticket.
    Ticket {
        /// How who asked for it was known.
        of: Box<Via>,
    },
    /// By the scrape token.
    ScrapeToken,
}

impl Via {
    /// How the identity came to be known first, behind tickets.
    fn origin(&self) -> &Self {
        match self {
            Self::Ticket { of } => of.origin(),
            Self::Machine | Self::Session { .. } | Self::Key { .. } | Self::ScrapeToken => self,
        }
    }

    /// For the audit log.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Session { .. } => "jwt",
            Self::Key { .. } => "api_key",
            Self::Ticket { .. } => "ticket",
            Self::ScrapeToken => "scrape_token",
        }
    }
}

impl Principal {
    /// Whoever is on this machine, where that is enough.
    pub fn machine() -> Self {
        Self {
            user_id: "local".to_owned(),
            permissions: Permissions::ALL,
            via: Via::Machine,
        }
    }

    /// The scraper.
    pub fn scraper() -> Self {
        Self {
            user_id: "scraper".to_owned(),
            permissions: Permissions::NONE,
            via: Via::ScrapeToken,
        }
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The token is none, or over.
    Token(TokenFault),
    /// The token's session is over.
    Session,
    /// The key is not good.
    Key(BadKey),
    /// The ticket is none, used, or over.
    Ticket,
}

impl Refused {
    /// For logs; clients hear less.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Token(TokenFault::Forged) => "forged",
            Self::Token(TokenFault::Expired) => "expired",
            Self::Session => "logged_out",
            Self::Key(bad) => bad.label(),
            Self::Ticket => "ticket",
        }
    }
}

/// Why a login or a refresh gave nothing.
#[derive(Debug)]
pub enum LoginFault {
    /// Not this user's password, or no such user.
    Credentials,
    /// Not a refresh token that is good.
    RefreshToken {
        /// Whose session was closed, because the token had been used before.
        stolen_from: Option<String>,
    },
    /// Too many attempts; the next one may be made then.
    TooMany(Duration),
    /// The file was not written.
    Store(StoreError),
}

impl From<StoreError> for LoginFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a login gives.
pub struct TokenPair {
    /// Whose.
    pub user_id: String,
    /// Shown with every request.
    pub access_token: String,
    /// Gives the next pair.
    pub refresh_token: String,
    /// Seconds that the access token is good.
    pub expires_in_s: u64,
}

/// The one place that knows who may do what.
pub struct Auth {
    store: Store,
    signer: Signer,
    tickets: Tickets,
    attempts: LoginAttempts,
    metrics: Arc<AuthMetrics>,
    comparisons: Semaphore,
    access_life: Duration,
    refresh_life: Duration,
    /// Whether this start added the first admin.
    added_first: bool,
}

impl Auth {
    /// Opens the file, and adds the first admin when there is no user and a password for one.
    ///
    /// # Errors
    /// [`AuthStartError`] says what cannot work.
    pub fn open(
        config: AuthConfig,
        metrics: Arc<AuthMetrics>,
        clock: BucketClock,
        now: UnixMs,
    ) -> Result<Self, AuthStartError> {
        let store = Store::open(&config.directory)?;
        let mut added_first = false;
        let has_users = store.read(now, |document| document.users().next().is_some());
        if !has_users {
            let Some(password) = &config.admin_password else {
                return Err(AuthStartError::Nobody(store.path()));
            };
            let hash =
                password::hash(password.expose_secret()).map_err(AuthStartError::AdminPassword)?;
            let added = store.update::<_, UserFault>(|document| {
                document.add_user(FIRST_ADMIN, hash, &[Role::Admin], now)
            });
            match added {
                Ok(()) => added_first = true,
                // Another process was quicker.
                Err(UserFault::Exists) => {}
                Err(UserFault::Store(error)) => return Err(error.into()),
                Err(other) => unreachable!("the first user of a plain name: {other}"),
            }
        }
        let signer = match &config.jwt_secret {
            Some(secret) => {
                let secret = secret.expose_secret();
                if secret.len() < SECRET_BYTES_MIN {
                    return Err(AuthStartError::WeakSecret(secret.len()));
                }
                Signer::new(secret)
            }
            None => store.read(now, |document| Signer::new(&document.signing_secret)),
        };
        Ok(Self {
            store,
            signer,
            tickets: Tickets::default(),
            attempts: LoginAttempts::new(clock),
            metrics,
            comparisons: Semaphore::new(COMPARISONS_MAX),
            access_life: config.access_life,
            refresh_life: config.refresh_life,
            added_first,
        })
    }

    /// Whether this start added the first admin, for who records that.
    pub fn added_first_admin(&self) -> bool {
        self.added_first
    }

    /// Users and keys.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who shows this access token.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn by_token(&self, token: &str, now: UnixMs) -> Result<Principal, Refused> {
        let found = self
            .signer
            .verify(token, Purpose::Access, now)
            .map_err(Refused::Token)
            .and_then(|claims| {
                self.store.read(now, |document| {
                    document
                        .enabled_user(&claims.sub)
                        .filter(|_| document.has_session(&claims.sid, &claims.sub, now))
                        .map(|user| Principal {
                            user_id: claims.sub.clone(),
                            permissions: user.permissions(),
                            via: Via::Session {
                                session_id: claims.sid.clone(),
                            },
                        })
                        .ok_or(Refused::Session)
                })
            });
        self.counted(Means::AccessToken, found)
    }

    /// Who shows this API key from there.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn by_key(&self, key: &str, address: IpAddr, now: UnixMs) -> Result<Principal, Refused> {
        let found = self.store.read(now, |document| {
            let (key, user) = document
                .recognise(key, address, now)
                .map_err(Refused::Key)?;
            Ok(Principal {
                user_id: key.user_id.clone(),
                permissions: key.permissions.within(user.permissions()),
                via: Via::Key {
                    key_id: key.key_id.clone(),
                    rate: key.rate,
                },
            })
        });
        if let Ok(Principal {
            via: Via::Key { key_id, .. },
            ..
        }) = &found
        {
            self.store.key_used(key_id, now);
        }
        self.counted(Means::ApiKey, found)
    }

    /// Who was given this ticket, which is good no more.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn by_ticket(&self, ticket: &str, now: UnixMs) -> Result<Principal, Refused> {
        let found = self.tickets.take(ticket, now).and_then(|principal| {
            let permissions = self.permissions_now(&principal, now)?;
            Some(Principal {
                permissions,
                ..principal
            })
        });
        let found = found.ok_or(Refused::Ticket);
        self.counted(Means::Ticket, found)
    }

    /// A ticket for one request of this principal; `None` when too many are open.
    pub fn give_ticket(&self, principal: &Principal, now: UnixMs) -> Option<String> {
        let principal = Principal {
            via: Via::Ticket {
                of: Box::new(principal.via.clone()),
            },
            ..principal.clone()
        };
        self.tickets.give(principal, now)
    }

    /// Whether who was let in some time ago would be let in again, and may still do `needed`. For answers
    /// that go on for hours.
    pub fn still_may(&self, principal: &Principal, needed: Permission, now: UnixMs) -> bool {
        let now_may = self.permissions_now(principal, now);
        now_may.is_some_and(|permissions| permissions.has(needed))
    }

    /// What somebody who was let in before may do now; `None` when the session or the key is not good any
    /// more, or the user is gone.
    fn permissions_now(&self, principal: &Principal, now: UnixMs) -> Option<Permissions> {
        let user_id = &principal.user_id;
        self.store.read(now, |document| {
            let of_user = document.enabled_user(user_id)?.permissions();
            match principal.via.origin() {
                Via::Session { session_id } => document
                    .has_session(session_id, user_id, now)
                    .then_some(of_user),
                Via::Key { key_id, .. } => {
                    let key = document.good_key(key_id, now)?;
                    Some(key.permissions.within(of_user))
                }
                // None of these is somebody whom this file knows.
                Via::Machine | Via::ScrapeToken | Via::Ticket { .. } => None,
            }
        })
    }

    /// Opens a session for who knows the password.
    ///
    /// # Errors
    /// [`LoginFault`].
    pub async fn login(
        self: &Arc<Self>,
        user_id: String,
        password: SecretString,
        address: IpAddr,
        now: UnixMs,
    ) -> Result<TokenPair, LoginFault> {
        if let Err(wait) = self.attempts.take(&user_id, address) {
            self.metrics.count(Means::Password, Outcome::RateLimited);
            return Err(LoginFault::TooMany(wait));
        }
        let turn = self.comparisons.acquire().await;
        let turn = turn.expect("the semaphore is never closed");
        let auth = Arc::clone(self);
        let pair = blocking(move || auth.login_blocking(&user_id, &password, now)).await;
        drop(turn);
        self.counted(Means::Password, pair)
    }

    fn login_blocking(
        &self,
        user_id: &str,
        password: &SecretString,
        now: UnixMs,
    ) -> Result<TokenPair, LoginFault> {
        let hash = self.store.read(now, |document| {
            document
                .enabled_user(user_id)
                .map(|user| user.password.clone())
        });
        if !password::matches(password.expose_secret(), hash.as_deref()) {
            return Err(LoginFault::Credentials);
        }
        let session = self.store.update(|document| {
            // Disabled, or given another password, while this one was compared.
            let same = document.enabled_user(user_id).map(|user| &user.password) == hash.as_ref();
            if !same {
                return Err(LoginFault::Credentials);
            }
            Ok(document.open_session(user_id, now, self.refresh_life_ms()))
        })?;
        Ok(self.pair(&session, now))
    }

    /// The next pair for who has a good refresh token.
    ///
    /// # Errors
    /// [`LoginFault`].
    pub async fn refresh(
        self: &Arc<Self>,
        token: String,
        now: UnixMs,
    ) -> Result<TokenPair, LoginFault> {
        let auth = Arc::clone(self);
        let pair = blocking(move || auth.refresh_blocking(&token, now)).await;
        self.counted(Means::RefreshToken, pair)
    }

    fn refresh_blocking(&self, token: &str, now: UnixMs) -> Result<TokenPair, LoginFault> {
        let refused = |stolen_from| LoginFault::RefreshToken { stolen_from };
        let claims = self
            .signer
            .verify(token, Purpose::Refresh, now)
            .map_err(|_| refused(None))?;
        let outcome = self.store.update::<_, LoginFault>(|document| {
            Ok(document.refresh_session(&claims.sid, &claims.jti, now, self.refresh_life_ms()))
        })?;
        match outcome {
            Refresh::Next(session) => Ok(self.pair(&session, now)),
            Refresh::Reused { user_id } => Err(refused(Some(user_id))),
            Refresh::Over => Err(refused(None)),
        }
    }

    /// Ends the session of a refresh token that we signed; says whose it was, if it was open.
    ///
    /// # Errors
    /// [`LoginFault::RefreshToken`] for a token that we did not sign, [`LoginFault::Store`].
    pub async fn logout(self: &Arc<Self>, token: String) -> Result<Option<String>, LoginFault> {
        let auth = Arc::clone(self);
        blocking(move || {
            let claims = auth
                .signer
                .verify_signature(&token, Purpose::Refresh)
                .map_err(|_| LoginFault::RefreshToken { stolen_from: None })?;
            auth.store
                .update(|document| Ok(document.close_session(&claims.sid)))
        })
        .await
    }

    fn pair(&self, session: &Session, now: UnixMs) -> TokenPair {
        let user_id = &session.user_id;
        let permissions = self.store.read(now, |document| {
            document
                .enabled_user(user_id)
                .map_or(Permissions::NONE, document::User::permissions)
        });
        let sid = &session.session_id;
        let expires_in_s = self.access_life.as_secs();
        let iat = now.seconds();
        let jti = crate::random::hex::<16>();
        let mut access = Claims::new(Purpose::Access, user_id, sid, &jti, iat, iat + expires_in_s);
        access.permissions = permissions
            .labels()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let refresh = &session.refresh;
        let refresh = Claims::new(
            Purpose::Refresh,
            user_id,
            sid,
            &refresh.jti,
            refresh.issued_at.seconds(),
            refresh.expires_at.seconds(),
        );
        TokenPair {
            user_id: user_id.clone(),
            access_token: self.signer.sign(&access),
            refresh_token: self.signer.sign(&refresh),
            expires_in_s,
        }
    }

    fn refresh_life_ms(&self) -> u64 {
        self.refresh_life.as_millis() as u64
    }

    fn counted<T, E>(&self, means: Means, result: Result<T, E>) -> Result<T, E> {
        let outcome = match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        };
        self.metrics.count(means, outcome);
        result
    }
}

/// Runs what takes long, or waits for a disk, beside the thread that serves. A panic there is one here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests;
