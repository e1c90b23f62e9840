//! Logging in, staying, being thrown out: in virtual time, with real files and real hashes.

use super::keys::{KeyFault, KeySpec, new_secret};
use super::permission::Permission;
use super::*;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use veloz_core::units::Nanos;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: UnixMs = UnixMs(1_700_000_000_000);
const PASSWORD: &str = "correct horse";

struct Fixture {
    directory: tempfile::TempDir,
    auth: Arc<Auth>,
    metrics: Arc<AuthMetrics>,
    clock: Arc<AtomicU64>,
}

fn config(directory: &std::path::Path) -> AuthConfig {
    AuthConfig {
        directory: directory.to_owned(),
        jwt_secret: None,
        admin_password: Some(PASSWORD.into()),
        access_life: Duration::from_hours(1),
        refresh_life: Duration::from_hours(168),
    }
}

fn open(config: AuthConfig) -> Result<Auth, AuthStartError> {
    let metrics = Arc::new(AuthMetrics::default());
    Auth::open(config, metrics, BucketClock::new(|| Nanos(1)), NOW)
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let metrics = Arc::new(AuthMetrics::default());
    let clock = Arc::new(AtomicU64::new(1));
    let reading = Arc::clone(&clock);
    let auth = Auth::open(
        config(directory.path()),
        Arc::clone(&metrics),
        BucketClock::new(move || Nanos(reading.load(Relaxed))),
        NOW,
    );
    Fixture {
        auth: Arc::new(auth.expect("opens")),
        directory,
        metrics,
        clock,
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

impl Fixture {
    fn login(&self, user_id: &str, password: &str) -> Result<TokenPair, LoginFault> {
        block_on(
            self.auth
                .login(user_id.to_owned(), password.into(), HERE, NOW),
        )
    }

    fn admin(&self) -> TokenPair {
        self.login(FIRST_ADMIN, PASSWORD).expect("the password")
    }

    fn refresh(&self, token: &str, now: UnixMs) -> Result<TokenPair, LoginFault> {
        block_on(self.auth.refresh(token.to_owned(), now))
    }
}

#[test]
fn a_login_is_good_for_an_hour_and_can_be_prolonged() {
    let fixture = fixture();
    let pair = fixture.admin();
    assert_eq!(pair.expires_in_s, 3_600);
    let who = fixture
        .auth
        .by_token(&pair.access_token, NOW)
        .expect("fresh");
    assert_eq!(who.user_id, "admin");
    assert_eq!(who.permissions, Permissions::ALL);
    let later = NOW.plus_ms(3_600_000);
    assert_eq!(
        fixture.auth.by_token(&pair.access_token, later),
        Err(Refused::Token(TokenFault::Expired))
    );
    let next = fixture.refresh(&pair.refresh_token, later).expect("good");
    assert!(fixture.auth.by_token(&next.access_token, later).is_ok());
    assert_ne!(next.refresh_token, pair.refresh_token);
    let end = later.plus_ms(168 * 3_600_000);
    assert!(fixture.refresh(&next.refresh_token, end).is_err());
    assert_eq!(
        fixture.metrics.attempts(Means::Password, Outcome::Success),
        1
    );
    assert_eq!(
        fixture
            .metrics
            .attempts(Means::RefreshToken, Outcome::Failure),
        1
    );
}

#[test]
fn a_wrong_password_and_a_user_that_is_none_look_the_same() {
    let fixture = fixture();
    for (user_id, password) in [
        (FIRST_ADMIN, "wrong horse"),
        ("nobody", PASSWORD),
        ("", ""),
        (FIRST_ADMIN, ""),
    ] {
        assert!(matches!(
            fixture.login(user_id, password),
            Err(LoginFault::Credentials)
        ));
    }
    let disabled = fixture.auth.store().update::<_, UserFault>(|document| {
        let hash = password::hash(PASSWORD)?;
        document.add_user("tom", hash, &[Role::Trader], NOW)?;
        document.set_disabled("tom", true)
    });
    disabled.expect("not the last admin");
    assert!(matches!(
        fixture.login("tom", PASSWORD),
        Err(LoginFault::Credentials)
    ));
}

#[test]
fn guessing_passwords_is_slowed_down_before_any_is_compared() {
    let fixture = fixture();
    for _ in 0..10 {
        let _ = fixture.login(FIRST_ADMIN, "short");
    }
    let refused = fixture.login(FIRST_ADMIN, PASSWORD);
    assert!(matches!(refused, Err(LoginFault::TooMany(wait)) if wait == Duration::from_secs(10)));
    assert_eq!(
        fixture
            .metrics
            .attempts(Means::Password, Outcome::RateLimited),
        1
    );
    fixture.clock.fetch_add(Nanos::from_secs(10).0, Relaxed);
    assert!(fixture.login(FIRST_ADMIN, PASSWORD).is_ok());
}

#[test]
fn a_logout_ends_both_tokens_and_a_forged_one_ends_nothing() {
    let fixture = fixture();
    let pair = fixture.admin();
    let logout = |token: &str| block_on(fixture.auth.logout(token.to_owned()));
    let forged = Signer::new("another secret of thirty-two bytes");
    let claims = Claims::new(Purpose::Refresh, "admin", "s", "j", 1, u64::MAX);
    for token in ["", "a.b.c", &forged.sign(&claims), &pair.access_token] {
        assert!(matches!(
            logout(token),
            Err(LoginFault::RefreshToken { stolen_from: None })
        ));
    }
    assert!(fixture.auth.by_token(&pair.access_token, NOW).is_ok());
    assert_eq!(
        logout(&pair.refresh_token).expect("ours").as_deref(),
        Some("admin")
    );
    assert_eq!(
        fixture.auth.by_token(&pair.access_token, NOW),
        Err(Refused::Session)
    );
    assert!(fixture.refresh(&pair.refresh_token, NOW).is_err());
    assert_eq!(logout(&pair.refresh_token).expect("ours"), None);
}

#[test]
fn a_refresh_token_that_comes_back_ends_the_session_of_both_who_have_it() {
    let fixture = fixture();
    let pair = fixture.admin();
    let stolen = pair.refresh_token;
    let next = fixture.refresh(&stolen, NOW).expect("good");
    let later = NOW.plus_ms(60_000);
    assert!(matches!(
        fixture.refresh(&stolen, later),
        Err(LoginFault::RefreshToken { stolen_from: Some(user) }) if user == "admin"
    ));
    assert!(fixture.auth.by_token(&next.access_token, later).is_err());
    assert!(fixture.refresh(&next.refresh_token, later).is_err());
}

#[test]
fn sessions_and_tokens_outlive_a_restart() {
    let fixture = fixture();
    let pair = fixture.admin();
    let again = AuthConfig {
        admin_password: None,
        ..config(fixture.directory.path())
    };
    let again = open(again).expect("a user is there");
    assert!(again.by_token(&pair.access_token, NOW).is_ok());
    let other_secret = AuthConfig {
        jwt_secret: Some("a secret of no less than 32 bytes".into()),
        ..config(fixture.directory.path())
    };
    let other = open(other_secret).expect("a user is there");
    assert!(other.by_token(&pair.access_token, NOW).is_err());
}

#[test]
fn what_a_user_may_is_asked_with_each_request() {
    let fixture = fixture();
    let tom = "tom";
    let update = |change: &dyn Fn(&mut document::Document) -> Result<(), UserFault>| {
        fixture.auth.store().update(change).expect("changed");
    };
    update(&|document| {
        let hash = password::hash(PASSWORD)?;
        document.add_user(tom, hash, &[Role::Trader], NOW)
    });
    let pair = fixture.login(tom, PASSWORD).expect("the password");
    let may = |permission| {
        fixture
            .auth
            .by_token(&pair.access_token, NOW)
            .map(|who| who.permissions.has(permission))
    };
    assert_eq!(may(Permission::WriteOrders), Ok(true));
    assert_eq!(may(Permission::AdminUsers), Ok(false));
    update(&|document| document.give_roles(tom, &[Role::Admin]).map(|_| ()));
    assert_eq!(may(Permission::AdminUsers), Ok(true));
    update(&|document| document.take_roles(tom, &Role::ALL).map(|_| ()));
    assert_eq!(may(Permission::ReadMarket), Ok(false));
    update(&|document| document.set_disabled(tom, true));
    assert_eq!(may(Permission::ReadMarket), Err(Refused::Session));
}

#[test]
fn a_key_may_no_more_than_its_owner_and_tells_when_it_was_used() {
    let fixture = fixture();
    let secret = new_secret();
    let made = fixture.auth.store().update::<_, KeyFault>(|document| {
        document
            .add_user("tom", String::new(), &[Role::Viewer], NOW)
            .expect("added");
        let spec = KeySpec {
            user_id: "tom".to_owned(),
            name: "bot".to_owned(),
            permissions: Permissions::ALL,
            expires_at: None,
            allowed_addresses: Vec::new(),
            rate: Some(RateRule::per_second(5, 1)),
        };
        document.add_key(spec, &secret, NOW)
    });
    made.expect("made");
    let later = NOW.plus_ms(5);
    let who = fixture
        .auth
        .by_key(&secret.api_key, HERE, later)
        .expect("good");
    assert_eq!(who.permissions, Role::Viewer.permissions());
    assert_eq!(
        who.via,
        Via::Key {
            key_id: secret.key_id.clone(),
            rate: Some(RateRule::per_second(5, 1))
        }
    );
    assert_eq!(fixture.auth.store().last_use(&secret.key_id), Some(later));
    assert_eq!(
        fixture.auth.by_key("veloz_0", HERE, later),
        Err(Refused::Key(BadKey::Unknown))
    );
    assert_eq!(fixture.metrics.attempts(Means::ApiKey, Outcome::Failure), 1);
}

#[test]
fn a_ticket_carries_the_identity_of_who_asked_for_it() {
    let fixture = fixture();
    let pair = fixture.admin();
    let who = fixture
        .auth
        .by_token(&pair.access_token, NOW)
        .expect("fresh");
    let ticket = fixture.auth.give_ticket(&who, NOW).expect("room");
    let by_ticket = fixture.auth.by_ticket(&ticket, NOW).expect("fresh");
    let of = Box::new(who.via.clone());
    assert_eq!(
        (&by_ticket.user_id, &by_ticket.via),
        (&who.user_id, &Via::Ticket { of })
    );
    assert_eq!(fixture.auth.by_ticket(&ticket, NOW), Err(Refused::Ticket));

    let late = fixture.auth.give_ticket(&who, NOW).expect("room");
    let may = |who: &Principal| fixture.auth.still_may(who, Permission::ReadMarket, NOW);
    assert!(may(&who) && may(&by_ticket));
    block_on(fixture.auth.logout(pair.refresh_token)).expect("ours");
    assert!(!may(&who) && !may(&by_ticket), "the session is over");
    assert_eq!(fixture.auth.by_ticket(&late, NOW), Err(Refused::Ticket));
}

#[test]
fn a_start_without_anybody_who_could_log_in_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let refused = |change: &dyn Fn(&mut AuthConfig)| {
        let mut config = config(directory.path());
        change(&mut config);
        open(config).err().expect("refused").to_string()
    };
    let nobody = refused(&|config| config.admin_password = None);
    assert!(nobody.contains("there is no user"), "{nobody}");
    let short = refused(&|config| config.admin_password = Some("hunter2".into()));
    assert!(short.contains("at least 8 bytes"), "{short}");
    assert!(!short.contains("hunter2"), "{short}");
    let weak = refused(&|config| config.jwt_secret = Some("too short to be safe".into()));
    assert!(weak.contains("20 bytes, expected at least 32"), "{weak}");
}
