//! Sessions: one a login, alive as long as its refresh token is used in time.
//!
//! Owns: the rules about [`Session`]s in a [`Document`]. Does not: sign anything. Invariants: of each
//! session exactly one refresh token is good, and using it makes the next one; the one before is taken
//! for a repeated request for [`REPEAT_MS`], and after that for a stolen one, which ends the session.

use super::document::{Document, RefreshId, Replaced, Session};
use crate::wall::UnixMs;

/// Sessions at most; a login beyond it ends the oldest.
pub const SESSIONS_MAX: usize = 1_024;
/// Sessions of one user at most; a login beyond it ends the user's oldest.
const SESSIONS_OF_USER_MAX: usize = 16;
/// How long a client may repeat a refresh whose answer it did not hear.
const REPEAT_MS: u64 = 10_000;

/// What became of a refresh token.
pub(super) enum Refresh {
    /// It is good, or was until a moment ago; the session names the one to use next.
    Next(Session),
    /// It was used before: the session is closed.
    Reused { user_id: String },
    /// Its session is over, or its user is gone.
    Over,
}

impl Document {
    /// Opens a session whose first refresh token lives `life_ms`.
    pub(super) fn open_session(&mut self, user_id: &str, now: UnixMs, life_ms: u64) -> Session {
        self.sessions
            .retain(|session| session.refresh.expires_at > now);
        let of_user = |session: &Session| session.user_id == user_id;
        if self
            .sessions
            .iter()
            .filter(|&session| of_user(session))
            .count()
            >= SESSIONS_OF_USER_MAX
            && let Some(oldest) = self.sessions.iter().position(of_user)
        {
            self.sessions.remove(oldest);
        }
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.remove(0);
        }
        let session = Session {
            session_id: crate::random::hex::<16>(),
            user_id: user_id.to_owned(),
            refresh: RefreshId::new(now, life_ms),
            replaced: None,
        };
        self.sessions.push(session.clone());
        session
    }

    /// Uses a refresh token.
    pub(super) fn refresh_session(
        &mut self,
        session_id: &str,
        jti: &str,
        now: UnixMs,
        life_ms: u64,
    ) -> Refresh {
        let Some(position) = self.position(session_id) else {
            return Refresh::Over;
        };
        let user_id = self.sessions[position].user_id.clone();
        if self.enabled_user(&user_id).is_none() {
            self.sessions.remove(position);
            return Refresh::Over;
        }
        let session = &mut self.sessions[position];
        if session.refresh.jti == jti {
            session.replaced = Some(Replaced {
                jti: jti.to_owned(),
                at: now,
            });
            session.refresh = RefreshId::new(now, life_ms);
        } else {
            let repeated = session
                .replaced
                .as_ref()
                .is_some_and(|old| old.jti == jti && now < old.at.plus_ms(REPEAT_MS));
            if !repeated {
                self.sessions.remove(position);
                return Refresh::Reused { user_id };
            }
        }
        Refresh::Next(self.sessions[position].clone())
    }

    /// Ends a session; says whose it was, if it was open.
    pub(super) fn close_session(&mut self, session_id: &str) -> Option<String> {
        let position = self.position(session_id)?;
        Some(self.sessions.remove(position).user_id)
    }

    /// Ends all of a user's.
    pub(super) fn close_sessions_of(&mut self, user_id: &str) {
        self.sessions.retain(|session| session.user_id != user_id);
    }

    /// Whether a session of this user is open.
    pub(super) fn has_session(&self, session_id: &str, user_id: &str, now: UnixMs) -> bool {
        self.position(session_id).is_some_and(|position| {
            let session = &self.sessions[position];
            session.user_id == user_id && session.refresh.expires_at > now
        })
    }

    fn position(&self, session_id: &str) -> Option<usize> {
        self.sessions
            .iter()
            .position(|session| session.session_id == session_id)
    }
}

impl RefreshId {
    fn new(now: UnixMs, life_ms: u64) -> Self {
        Self {
            jti: crate::random::hex::<16>(),
            issued_at: now,
            expires_at: now.plus_ms(life_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::permission::Role;

    const LIFE_MS: u64 = 1_000_000;

    fn document() -> Document {
        let mut document = Document::new();
        for user_id in ["tom", "ann"] {
            document
                .add_user(user_id, String::new(), &[Role::Trader], UnixMs(1))
                .expect("added");
        }
        document
    }

    fn refresh(document: &mut Document, session: &Session, jti: &str, now: u64) -> Refresh {
        document.refresh_session(&session.session_id, jti, UnixMs(now), LIFE_MS)
    }

    fn next(refresh: Refresh) -> RefreshId {
        match refresh {
            Refresh::Next(session) => session.refresh,
            Refresh::Reused { .. } | Refresh::Over => panic!("it is good"),
        }
    }

    #[test]
    fn each_refresh_token_is_good_once_and_a_moment_longer() {
        let mut document = document();
        let session = document.open_session("tom", UnixMs(0), LIFE_MS);
        let first = session.refresh.jti.clone();
        let second = next(refresh(&mut document, &session, &first, 100));
        assert_ne!(second.jti, first);
        // The answer was lost: the same question gets the same answer.
        let again = next(refresh(
            &mut document,
            &session,
            &first,
            100 + REPEAT_MS - 1,
        ));
        assert_eq!(again, second);
        let third = next(refresh(&mut document, &session, &second.jti, 20_000));
        assert!(document.has_session(&session.session_id, "tom", UnixMs(20_000)));
        // Long after: somebody has a copy.
        assert!(matches!(
            refresh(&mut document, &session, &first, 30_000),
            Refresh::Reused { user_id } if user_id == "tom"
        ));
        assert!(!document.has_session(&session.session_id, "tom", UnixMs(30_000)));
        assert!(matches!(
            refresh(&mut document, &session, &third.jti, 30_001),
            Refresh::Over
        ));
    }

    #[test]
    fn a_session_ends_with_logout_time_password_and_user() {
        let mut document = document();
        let is_open = |document: &Document, session: &Session, now: u64| {
            document.has_session(&session.session_id, "tom", UnixMs(now))
        };
        let session = document.open_session("tom", UnixMs(0), LIFE_MS);
        assert!(is_open(&document, &session, LIFE_MS - 1));
        assert!(!is_open(&document, &session, LIFE_MS));
        assert!(!document.has_session(&session.session_id, "ann", UnixMs(1)));
        assert_eq!(
            document.close_session(&session.session_id).as_deref(),
            Some("tom")
        );
        assert_eq!(document.close_session(&session.session_id), None);
        assert!(!is_open(&document, &session, 1));

        let session = document.open_session("tom", UnixMs(0), LIFE_MS);
        document
            .set_password("tom", "new".to_owned())
            .expect("known");
        assert!(!is_open(&document, &session, 1));

        let session = document.open_session("tom", UnixMs(0), LIFE_MS);
        document.set_disabled("tom", true).expect("known");
        assert!(!is_open(&document, &session, 1));
    }

    #[test]
    fn too_many_sessions_end_the_oldest() {
        let mut document = document();
        let ann = document.open_session("ann", UnixMs(0), LIFE_MS);
        let toms: Vec<_> = (0..=SESSIONS_OF_USER_MAX)
            .map(|_| document.open_session("tom", UnixMs(1), LIFE_MS))
            .collect();
        let open = |session: &Session, user: &str| {
            document.has_session(&session.session_id, user, UnixMs(2))
        };
        assert!(open(&ann, "ann"));
        assert!(!open(&toms[0], "tom"));
        assert!(toms[1..].iter().all(|session| open(session, "tom")));

        // Those that are over make room first.
        let later = document.open_session("tom", UnixMs(1 + LIFE_MS), LIFE_MS);
        assert_eq!(document.sessions.len(), 1);
        assert_eq!(document.sessions[0].session_id, later.session_id);
    }
}
