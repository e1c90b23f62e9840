//! One effect for any number of equal requests.
//!
//! Owns: [`once`], the layer around every route that writes, and [`Remembered`], its memory. Does not: know
//! what a route does. Invariants: a handler that writes runs to its end, whether or not its client waits for it; among
//! requests of one user, route and `Idempotency-Key` exactly one reaches the handler within [`KEPT_FOR_MS`], and all get its answer;
//! a key never stands for two bodies; what was refused before anything happened (`engine_busy`, no
//! audit record) is not remembered, so that a repeat is a new try.
//!
//! Memory is bounded by [`KEYS_MAX`] and [`BYTES_MAX`]: when it is full, a new key is refused with 503
//! `idempotency_full` until the oldest ones are a day old, because to forget a younger one would break the promise; requests without a
//! key pass.
//!
//! Where there is a state directory a restart forgets nothing (`idempotency/file.rs`): a repeat gets the answer that was
//! given before; when the process ended first, it gets the state of the order that the request named
//! (`orders::recalled`), or is told that the outcome is not known. It never reaches the handler again.

mod file;

use super::journal::Journal;
use super::{UnreadableState, orders};
use crate::auth::Principal;
use crate::http::exchange::Sensitive;
use crate::http::problem::{Code, Problem};
use crate::http::{HttpState, body};
use crate::wall::UnixMs;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use file::{End, Kept};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tracing::Instrument as _;
use veloz_core::order::ClientId;

/// How long a key means the same request.
pub const KEPT_FOR_MS: u64 = 24 * 60 * 60 * 1_000;
/// Keys that are remembered at once.
pub const KEYS_MAX: usize = 65_536;
/// Bytes of all remembered answers; one has a few hundred.
pub const BYTES_MAX: usize = 64 << 20;
/// Characters of a key.
const KEY_CHARS_MAX: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

type Digest = [u8; 32];

/// An answer as it is given again.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    retry_after: Option<HeaderValue>,
    body: Bytes,
    problem: Option<Problem>,
    /// It holds a secret that is shown to those who waited, and to nobody later.
    sensitive: bool,
}

/// What became of the one request that reached the handler.
#[derive(Clone, Debug)]
enum Outcome {
    /// It is under way.
    Running,
    /// It was answered.
    Answered(Arc<Answer>),
    /// It was answered, with a secret.
    Shown,
    /// Its handler failed: what it did is not known.
    Unknown,
}

struct Entry {
    body: Digest,
    /// The order that it makes, once that has a name.
    order: Option<ClientId>,
    /// The owner changes it, everybody else waits.
    outcome: watch::Receiver<Outcome>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Digest, Entry>,
    /// In order of age.
    ages: VecDeque<(UnixMs, Digest)>,
    bytes: usize,
    file: Option<Journal>,
}

/// The memory of [`once`].
#[derive(Clone, Default)]
pub struct Remembered {
    table: Arc<Mutex<Table>>,
}

/// What a request with a key is.
enum Turn {
    /// The first: it goes to the handler.
    First(Owner),
    /// Another of the same.
    Again(watch::Receiver<Outcome>),
}

/// Who must say how it ends.
struct Owner {
    remembered: Remembered,
    key: Digest,
    outcome: watch::Sender<Outcome>,
}

/// Names what a request with a key makes; an extension of the request.
#[derive(Clone)]
pub(crate) struct Keyed {
    remembered: Remembered,
    key: Digest,
}

impl Keyed {
    /// Keeps which order the request is about to make. Before that is sent: a repeat after a crash looks for it.
    ///
    /// # Errors
    /// `storage_unavailable`; then it must not be sent.
    pub(crate) fn names(&self, client_id: &ClientId) -> Result<(), Problem> {
        let mut table = self.remembered.lock();
        table
            .write(&file::ordered(&self.key, client_id))
            .map_err(|error| not_kept(&error))?;
        if let Some(entry) = table.entries.get_mut(&self.key) {
            entry.order = Some(*client_id);
        }
        Ok(())
    }
}

fn not_kept(error: &io::Error) -> Problem {
    tracing::error!(component = "gateway", %error, "an Idempotency-Key is not kept");
    Problem::new(
        Code::StorageUnavailable,
        "the Idempotency-Key cannot be kept, so nothing was done",
    )
}

impl Remembered {
    /// What a file tells; it is made when it is not there.
    ///
    /// # Errors
    /// [`UnreadableState`].
    pub fn open(path: PathBuf) -> Result<Self, UnreadableState> {
        let (file, kept) = file::open(path)?;
        let mut table = Table {
            file: Some(file),
            ..Table::default()
        };
        for (key, kept) in kept {
            let Kept {
                at,
                body,
                order,
                end,
            } = kept;
            let outcome = match end {
                End::Open => Outcome::Unknown,
                End::Shown => Outcome::Shown,
                End::Answered(answer) => {
                    table.bytes += answer.body.len();
                    Outcome::Answered(Arc::from(answer))
                }
            };
            let (_, outcome) = watch::channel(outcome);
            let entry = Entry {
                body,
                order,
                outcome,
            };
            table.entries.insert(key, entry);
            table.ages.push_back((at, key));
        }
        Ok(Self {
            table: Arc::new(Mutex::new(table)),
        })
    }

    /// The order that the request with this key made, if it named one.
    fn order_of(&self, key: &Digest) -> Option<ClientId> {
        self.lock().entries.get(key)?.order
    }

    fn begin(&self, key: Digest, body: Digest, now: UnixMs) -> Result<Turn, Problem> {
        let mut table = self.lock();
        table.forget_old(now);
        if let Some(entry) = table.entries.get(&key) {
            if entry.body != body {
                return Err(Problem::new(
                    Code::IdempotencyMismatch,
                    "this Idempotency-Key was used with another request",
                )
                .field("Idempotency-Key"));
            }
            return Ok(Turn::Again(entry.outcome.clone()));
        }
        if table.entries.len() >= KEYS_MAX || table.bytes >= BYTES_MAX {
            let oldest = table.ages.front().map_or(now, |(at, _)| *at);
            let wait_ms = oldest.plus_ms(KEPT_FOR_MS).0.saturating_sub(now.0);
            return Err(Problem::new(
                Code::IdempotencyFull,
                "no further Idempotency-Key can be remembered now; nothing was done",
            )
            .retry_after(wait_ms.div_ceil(1_000).max(1)));
        }
        table.shrink_file();
        table
            .write(&file::began(&key, &body, now))
            .map_err(|error| not_kept(&error))?;
        let (outcome, seen) = watch::channel(Outcome::Running);
        let entry = Entry {
            body,
            order: None,
            outcome: seen,
        };
        table.entries.insert(key, entry);
        table.ages.push_back((now, key));
        Ok(Turn::First(Owner {
            remembered: self.clone(),
            key,
            outcome,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics between two changes that belong together.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn write(&mut self, line: &str) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.append(line),
            None => Ok(()),
        }
    }

    /// Writes the file anew without what is forgotten, when that is most of it.
    fn shrink_file(&mut self) {
        if !self.file.as_ref().is_some_and(Journal::is_overgrown) {
            return;
        }
        let kept = self.ages.iter().filter_map(|(at, key)| {
            let entry = self.entries.get(key)?;
            let end = match &*entry.outcome.borrow() {
                Outcome::Running | Outcome::Unknown => End::Open,
                Outcome::Shown => End::Shown,
                Outcome::Answered(answer) => End::Answered(Box::new(Answer::clone(answer))),
            };
            let kept = Kept {
                at: *at,
                body: entry.body,
                order: entry.order,
                end,
            };
            Some(file::lines_of(key, &kept))
        });
        let lines: String = kept.collect();
        if let Some(file) = &mut self.file {
            file.rewrite(&lines);
        }
    }

    fn forget_old(&mut self, now: UnixMs) {
        while let Some((at, key)) = self.ages.front()
            && at.plus_ms(KEPT_FOR_MS) <= now
        {
            let key = *key;
            self.ages.pop_front();
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &Digest) {
        if let Some(entry) = self.entries.remove(key)
            && let Outcome::Answered(answer) = &*entry.outcome.borrow()
        {
            self.bytes -= answer.body.len();
        }
    }
}

impl Owner {
    fn ends(self, answer: Answer) {
        let retryable = answer
            .problem
            .as_ref()
            .is_some_and(|problem| problem.code().nothing_happened());
        let (size, sensitive) = (answer.body.len(), answer.sensitive);
        let mut table = self.remembered.lock();
        let line = if retryable {
            file::forgotten(&self.key)
        } else if sensitive {
            file::shown(&self.key)
        } else {
            file::answered(&self.key, &answer)
        };
        if let Err(error) = table.write(&line) {
            // A repeat after a restart is told that the outcome is not known, or how the order stands.
            tracing::error!(component = "gateway", %error, "an answer is not kept for its Idempotency-Key");
        }
        self.outcome
            .send_replace(Outcome::Answered(Arc::new(answer)));
        if sensitive {
            // Who waits holds a receiver of the first channel; who comes later finds this one.
            let (_, seen) = watch::channel(Outcome::Shown);
            if let Some(entry) = table.entries.get_mut(&self.key) {
                entry.outcome = seen;
            }
        } else {
            table.bytes += size;
        }
        if retryable {
            table.forget(&self.key);
            table.ages.retain(|(_, key)| *key != self.key);
        }
    }
}

impl Drop for Owner {
    /// Without an answer: the handler panicked.
    fn drop(&mut self) {
        self.outcome.send_if_modified(|outcome| {
            let open = matches!(outcome, Outcome::Running);
            if open {
                *outcome = Outcome::Unknown;
            }
            open
        });
    }
}

/// Runs a handler that writes to its end, and for equal requests once.
pub(crate) async fn once(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) {
        return next.run(request).await;
    }
    let key = match key_of(request.headers()) {
        Ok(key) => key.filter(|_| *request.method() == Method::POST),
        Err(problem) => return problem.into_response(),
    };
    let principal = request.extensions().get::<Principal>();
    let Some((key, principal)) = key.zip(principal) else {
        return detached(async move { next.run(request).await }).await;
    };
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    // Neither a path nor a user has a line break.
    let scope = digest(&[
        principal.user_id.as_bytes(),
        route.as_bytes(),
        request.uri().path().as_bytes(),
        key.as_bytes(),
    ]);
    let (head, body) = request.into_parts();
    let reading = Request::from_parts(head.clone(), body);
    let body = match body::read(reading).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let kind = head.headers.get(CONTENT_TYPE);
    let content = digest(&[
        head.uri.query().unwrap_or_default().as_bytes(),
        kind.map_or(&[], HeaderValue::as_bytes),
        &body,
    ]);
    let turn = state.api.remembered.begin(scope, content, (state.unix)());
    match turn {
        Ok(Turn::First(owner)) => {
            let mut seen = owner.outcome.subscribe();
            let mut request = Request::from_parts(head, Body::from(body));
            request.extensions_mut().insert(Keyed {
                remembered: state.api.remembered.clone(),
                key: scope,
            });
            detached(async move {
                let answer = answer_of(next.run(request).await).await;
                owner.ends(answer);
            })
            .await;
            given(&state, &scope, &mut seen, false).await
        }
        Ok(Turn::Again(mut seen)) => given(&state, &scope, &mut seen, true).await,
        Err(problem) => problem.into_response(),
    }
}

/// Runs something to its end even when nobody waits for it any more; a panic stays a panic.
async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work.in_current_span()).await {
        Ok(done) => done,
        // Nothing aborts it, so it can only have panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn given(
    state: &HttpState,
    key: &Digest,
    seen: &mut watch::Receiver<Outcome>,
    again: bool,
) -> Response {
    let outcome = seen
        .wait_for(|outcome| !matches!(outcome, Outcome::Running))
        .await
        .map(|outcome| outcome.clone());
    let answer = match outcome {
        Ok(Outcome::Answered(answer)) => answer,
        Ok(Outcome::Shown) => {
            return Problem::new(
                Code::Conflict,
                "this was done before; its answer holds a secret and is not shown again",
            )
            .into_response();
        }
        Ok(Outcome::Running | Outcome::Unknown) | Err(_) => {
            if let Some(client_id) = state.api.remembered.order_of(key) {
                return orders::recalled(state, &client_id)
                    .await
                    .unwrap_or_else(axum::response::IntoResponse::into_response);
            }
            return Problem::new(
                Code::Conflict,
                "this was tried before and failed on the way: look at what came of it, then use another Idempotency-Key",
            )
            .into_response();
        }
    };
    let mut response = match &answer.problem {
        // Its body is written further out, where the request's id is known.
        Some(problem) => problem.clone().into_response(),
        None => (answer.status, Body::from(answer.body.clone())).into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, &answer.content_type),
        (RETRY_AFTER, &answer.retry_after),
    ] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    if again {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if answer.sensitive {
        response.extensions_mut().insert(Sensitive);
    }
    response
}

async fn answer_of(response: Response) -> Answer {
    let (head, body) = response.into_parts();
    let header = |name: HeaderName| head.headers.get(name).cloned();
    Answer {
        status: head.status,
        content_type: header(CONTENT_TYPE),
        retry_after: header(RETRY_AFTER),
        problem: head.extensions.get::<Problem>().cloned(),
        sensitive: head.extensions.get::<Sensitive>().is_some(),
        body: body
            .collect()
            .await
            .expect("answers of handlers that write lie in memory")
            .to_bytes(),
    }
}

/// The one key of a request, if it has one.
fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if values.next().is_none() && printable && (1..=KEY_CHARS_MAX).contains(&text.len()) {
        return Ok(Some(text));
    }
    Err(Problem::new(
        Code::BadParams,
        format!(
            "Idempotency-Key: one key of 1 to {KEY_CHARS_MAX} printable characters is expected"
        ),
    )
    .field("Idempotency-Key"))
}

/// A digest of parts that cannot run into each other.
fn digest(parts: &[&[u8]]) -> Digest {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &'static str) -> Answer {
        Answer {
            status: StatusCode::OK,
            content_type: None,
            retry_after: None,
            body: Bytes::from_static(body.as_bytes()),
            problem: None,
            sensitive: false,
        }
    }

    fn first(remembered: &Remembered, key: u8, now: u64) -> Owner {
        match remembered.begin([key; 32], [0; 32], UnixMs(now)) {
            Ok(Turn::First(owner)) => owner,
            Ok(Turn::Again(_)) => panic!("it was there before"),
            Err(problem) => panic!("{problem:?}"),
        }
    }

    fn is_new(remembered: &Remembered, key: u8, now: u64) -> bool {
        matches!(
            remembered.begin([key; 32], [0; 32], UnixMs(now)),
            Ok(Turn::First(_))
        )
    }

    #[test]
    fn a_key_means_one_request_for_a_day() {
        let remembered = Remembered::default();
        first(&remembered, 1, 1_000).ends(answer("one"));
        assert_eq!(remembered.lock().bytes, 3);
        assert!(!is_new(&remembered, 1, 1_000 + KEPT_FOR_MS - 1));
        let other = remembered.begin([1; 32], [9; 32], UnixMs(2_000));
        assert_eq!(
            other.err().map(|problem| problem.code()),
            Some(Code::IdempotencyMismatch)
        );
        assert!(is_new(&remembered, 1, 1_000 + KEPT_FOR_MS));
        assert_eq!(remembered.lock().bytes, 0);
    }

    #[test]
    fn what_came_to_nothing_may_be_tried_again_and_what_is_unknown_may_not() {
        let remembered = Remembered::default();
        let busy = Problem::new(Code::EngineBusy, "busy");
        first(&remembered, 1, 0).ends(Answer {
            problem: Some(busy),
            ..answer("")
        });
        assert!(is_new(&remembered, 1, 0));
        drop(first(&remembered, 2, 0));
        assert!(!is_new(&remembered, 2, 0));
        first(&remembered, 3, 0).ends(Answer {
            sensitive: true,
            ..answer("secret")
        });
        let table = remembered.lock();
        let outcome = table.entries[&[3; 32]].outcome.borrow().clone();
        assert!(matches!(outcome, Outcome::Shown));
        assert_eq!(table.bytes, 0, "the secret is not kept");
    }

    #[test]
    fn a_full_memory_refuses_new_keys_and_keeps_its_promises() {
        let remembered = Remembered::default();
        let key = |number: usize| digest(&[&number.to_be_bytes()]);
        for number in 0..KEYS_MAX {
            let turn = remembered.begin(key(number), [0; 32], UnixMs(number as u64));
            let Ok(Turn::First(owner)) = turn else {
                panic!("room for all");
            };
            owner.ends(answer("x"));
        }
        let refused = remembered.begin([1; 32], [0; 32], UnixMs(100_000));
        assert_eq!(
            refused.err().map(|problem| problem.code()),
            Some(Code::IdempotencyFull)
        );
        assert!(matches!(
            remembered.begin(key(5), [0; 32], UnixMs(100_000)),
            Ok(Turn::Again(_))
        ));
        assert!(is_new(&remembered, 1, KEPT_FOR_MS));
    }

    #[test]
    fn keys_are_one_and_plain() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static(value));
            }
            key_of(&headers).map(|key| key.map(str::to_owned))
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["a-1"]), Ok(Some("a-1".to_owned())));
        for bad in [&["a", "a"][..], &[""], &["a b"]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
