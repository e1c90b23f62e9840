//! Which client order ids were ever used.
//!
//! Owns: [`ClientIds`]. Does not: know orders. Invariants: an id is taken once, over restarts too when there
//! is a file; it is in the file before its order goes to the core, so that a process that is killed between
//! the two loses an order that was never sent rather than an id that was; memory is bounded by [`IDS_MAX`], and the file
//! by twice what is remembered.
//!
//! The file has a line an event: `+id` when a client's own id is taken, `-id` when its order came to nothing and it is
//! free again, `=id number` when the core gave its order a number, so that the next run finds the order by the client's
//! id, and `~id` when a default was taken. Defaults only rise, also over a restart and when the clock is put back, so the
//! newest one says of all of them that they were used, whoever names them: none of the others is kept, and none is free
//! again.

use super::UnreadableState;
use super::journal::{self, Journal};
use crate::trading::parse_id;
use crate::wall::UnixMs;
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use veloz_core::order::{ClientId, OrderId};

/// Clients' own ids that are kept: at one a second by hand or by program, eleven days without a pause; 40 MB here and
/// 40 MB on disk. When it is full, orders with an id of their client's are refused, and orders without one pass. README says
/// what an operator does about it.
pub const IDS_MAX: usize = 1_000_000;
/// From here on the log warns.
const IDS_MANY: usize = IDS_MAX / 10 * 9;

/// Numbers of orders that the next run is told: more than can be open. The oldest goes first.
pub const NUMBERED_MAX: usize = 1_024;

/// Bytes of the file: more than twice what can be remembered.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// Why an id is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It was used.
    #[error("an order with this client_order_id exists already")]
    Used,
    /// There is no room for another.
    #[error("as many client order ids as are kept were used")]
    Full,
    /// The file cannot be written.
    #[error("the client order id cannot be kept: {0}")]
    Io(io::Error),
}

/// All ids that were used.
#[derive(Debug, Default)]
pub struct ClientIds {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Half of the SHA-256 of each client's own id: nobody finds two ids that share it.
    used: HashSet<u128>,
    /// All defaults up to this one were used.
    newest_default: Option<DefaultId>,
    /// The newest orders with their clients' ids, oldest first.
    numbered: VecDeque<(OrderId, ClientId)>,
    file: Option<Journal>,
    /// Whether the log was told that most of the room is used.
    warned: bool,
}

/// The id of an order whose client gave none, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DefaultId {
    at: UnixMs,
    /// The next ones of one millisecond.
    number: u32,
}

impl DefaultId {
    fn named(id: &ClientId) -> Option<Self> {
        let rest = id.as_str().strip_prefix("web-")?;
        let (at, number) = match rest.split_once('-') {
            Some((at, number)) => (at, number.parse().ok()?),
            None => (rest, 0),
        };
        let this = Self {
            at: UnixMs(at.parse().ok()?),
            number,
        };
        // Another text of the same numbers is another id.
        (this.id() == *id).then_some(this)
    }

    fn id(self) -> ClientId {
        let Self { at, number } = self;
        let text = match number {
            0 => format!("web-{}", at.0),
            number => format!("web-{}-{number}", at.0),
        };
        // Twenty digits of time and ten of the number at most.
        ClientId::new(&text).expect("short and plain")
    }

    fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self {
                at: self.at.plus_ms(1),
                number: 0,
            },
        }
    }
}

fn digest(id: &ClientId) -> u128 {
    let digest: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    u128::from_be_bytes(digest[..16].try_into().expect("sixteen of thirty-two"))
}

/// One line of the file.
enum Line {
    Taken(ClientId),
    Freed(ClientId),
    Default(DefaultId),
    Numbered(ClientId, OrderId),
}

impl Line {
    fn read(line: &str) -> Option<Self> {
        let (sign, rest) = line.split_at_checked(1)?;
        match sign {
            "+" => ClientId::new(rest).map(Self::Taken),
            "-" => ClientId::new(rest).map(Self::Freed),
            "~" => ClientId::new(rest)
                .and_then(|id| DefaultId::named(&id))
                .map(Self::Default),
            "=" => {
                let (id, number) = rest.split_once(' ')?;
                Some(Self::Numbered(ClientId::new(id)?, parse_id(number)?))
            }
            _ => None,
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Taken(id) => format!("+{}\n", id.as_str()),
            Self::Freed(id) => format!("-{}\n", id.as_str()),
            Self::Default(id) => format!("~{}\n", id.id().as_str()),
            Self::Numbered(id, order) => format!("={} {order}\n", id.as_str()),
        }
    }
}

impl ClientIds {
    /// Those that a file tells of; it is made when it is not there.
    ///
    /// # Errors
    /// [`UnreadableState`].
    pub fn open(path: &Path) -> Result<Self, UnreadableState> {
        let text = journal::read(path, FILE_BYTES_MAX)?;
        let mut kept = Kept::default();
        for (number, line) in text.lines().enumerate() {
            let Some(line) = Line::read(line) else {
                let cause = format!("line {} is no event", number + 1);
                return Err(UnreadableState::new(path, &cause));
            };
            kept.learn(&line);
        }
        let lines = kept.still_said_in(&text);
        kept.file = Some(Journal::open(path.to_owned(), &lines, FILE_BYTES_MAX)?);
        kept.warn_when_many();
        Ok(Self {
            kept: Mutex::new(kept),
        })
    }

    /// Takes an id.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn take(&self, id: &ClientId) -> Result<(), NotTaken> {
        let mut kept = self.lock();
        if kept.is_used(id) {
            return Err(NotTaken::Used);
        }
        if kept.used.len() >= IDS_MAX {
            return Err(NotTaken::Full);
        }
        kept.tell(&Line::Taken(*id)).map_err(NotTaken::Io)
    }

    /// Takes the default of an order without an id: `web-<unix_ms>`, with `-n` behind it when that is taken. Its time is
    /// later than `now` where the clock was put back.
    ///
    /// # Errors
    /// [`NotTaken::Io`].
    pub fn take_default(&self, now: UnixMs) -> Result<ClientId, NotTaken> {
        let mut kept = self.lock();
        let first = DefaultId { at: now, number: 0 };
        let mut next = match kept.newest_default {
            Some(newest) if newest >= first => newest.next(),
            Some(_) | None => first,
        };
        // A client may have come before us, with an id of the same form.
        while kept.used.contains(&digest(&next.id())) {
            next = next.next();
        }
        kept.tell(&Line::Default(next)).map_err(NotTaken::Io)?;
        Ok(next.id())
    }

    /// Gives an id back whose order came to nothing before it was one.
    pub fn give_back(&self, id: &ClientId) {
        let mut kept = self.lock();
        // One that cannot be given back stays used, which is safe.
        if kept.used.contains(&digest(id)) {
            let _ = kept.tell(&Line::Freed(*id));
        }
    }

    /// Keeps which order has this id.
    pub fn number(&self, id: &ClientId, order: OrderId) {
        // Without the line the next run finds the order by its number alone.
        if let Err(error) = self.lock().tell(&Line::Numbered(*id, order)) {
            tracing::warn!(component = "gateway", %error, "the number of an order is not kept");
        }
    }

    /// The newest orders with their clients' ids.
    pub fn numbered(&self) -> Vec<(OrderId, ClientId)> {
        self.lock().numbered.iter().copied().collect()
    }

    /// Clients' own ids that are kept, of [`IDS_MAX`].
    pub fn used(&self) -> usize {
        self.lock().used.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // What is remembered and a file: no change of theirs can be half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_used(&self, id: &ClientId) -> bool {
        self.used.contains(&digest(id)) || self.is_old_default(id)
    }

    fn is_old_default(&self, id: &ClientId) -> bool {
        DefaultId::named(id).is_some_and(|id| Some(id) <= self.newest_default)
    }

    /// Writes a line and remembers what it says.
    fn tell(&mut self, line: &Line) -> io::Result<()> {
        self.shrink_file();
        if let Some(file) = &mut self.file {
            file.append(&line.write())?;
        }
        self.learn(line);
        self.warn_when_many();
        Ok(())
    }

    fn learn(&mut self, line: &Line) {
        match line {
            Line::Taken(id) => {
                self.used.insert(digest(id));
            }
            Line::Freed(id) => {
                self.used.remove(&digest(id));
            }
            Line::Default(id) => self.newest_default = self.newest_default.max(Some(*id)),
            Line::Numbered(id, order) => {
                if self.numbered.len() == NUMBERED_MAX {
                    self.numbered.pop_front();
                }
                self.numbered.push_back((*order, *id));
            }
        }
    }

    /// The lines of a text that still say something, each once. Forgets clients' ids that the newest default speaks for.
    fn still_said_in(&mut self, text: &str) -> String {
        let mut lines = String::new();
        let mut left = self.used.clone();
        for line in text.lines() {
            if let Some(Line::Taken(id)) = Line::read(line) {
                let key = digest(&id);
                if self.is_old_default(&id) {
                    self.used.remove(&key);
                } else if left.remove(&key) {
                    lines += &Line::Taken(id).write();
                }
            }
        }
        if let Some(id) = self.newest_default {
            lines += &Line::Default(id).write();
        }
        for (order, id) in &self.numbered {
            lines += &Line::Numbered(*id, *order).write();
        }
        lines
    }

    /// Writes the file anew without what is over, when that is most of it. With a million ids this takes a second, once in
    /// as many orders.
    fn shrink_file(&mut self) {
        let Some(mut file) = self.file.take_if(|file| file.is_overgrown()) else {
            return;
        };
        match file.read() {
            Ok(text) => file.rewrite(&self.still_said_in(&text)),
            Err(error) => {
                tracing::warn!(component = "gateway", %error, "the file of client order ids is not shortened");
            }
        }
        self.file = Some(file);
    }

    fn warn_when_many(&mut self) {
        if self.used.len() >= IDS_MANY && !self.warned {
            self.warned = true;
            tracing::warn!(
                component = "gateway",
                used = self.used.len(),
                size = IDS_MAX,
                "client order ids are nearly used up: then orders that name their own are refused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_small_files;
    use proptest::prelude::*;
    use std::fs::OpenOptions;
    use std::io::Write as _;

    fn id(text: &str) -> ClientId {
        ClientId::new(text).expect("legal")
    }

    #[test]
    fn an_id_is_taken_once_and_the_default_finds_a_free_one() {
        let ids = ClientIds::default();
        ids.take(&id("a")).expect("free");
        assert!(matches!(ids.take(&id("a")), Err(NotTaken::Used)));
        ids.give_back(&id("a"));
        ids.take(&id("a")).expect("free again");
        let now = UnixMs(1_708_689_600_123);
        ids.take(&id("web-1708689600123-1")).expect("free");
        let taken: Vec<String> = (0..3)
            .map(|_| ids.take_default(now).expect("one").as_str().to_owned())
            .collect();
        assert_eq!(
            taken,
            [
                "web-1708689600123",
                "web-1708689600123-2",
                "web-1708689600123-3"
            ]
        );
        assert!(ids.take_default(UnixMs(u64::MAX)).is_ok());
    }

    #[test]
    fn a_restart_forgets_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("client-order-ids");
        {
            let ids = ClientIds::open(&path).expect("new");
            for name in ["a", "-b", "c"] {
                ids.take(&id(name)).expect("free");
            }
            ids.give_back(&id("c"));
        }
        {
            let ids = ClientIds::open(&path).expect("there");
            assert_eq!(ids.numbered(), []);
            for sequence in 0..=(NUMBERED_MAX as u32) {
                ids.number(&id("a"), OrderId { run: 7, sequence });
            }
        }
        // Killed in the middle of a line.
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"+half").expect("written");
        for _ in 0..2 {
            let ids = ClientIds::open(&path).expect("there");
            for name in ["a", "-b"] {
                assert!(matches!(ids.take(&id(name)), Err(NotTaken::Used)), "{name}");
            }
            let numbered = ids.numbered();
            assert_eq!(numbered.len(), NUMBERED_MAX);
            let first = OrderId {
                run: 7,
                sequence: 1,
            };
            assert_eq!(numbered[0], (first, id("a")));
            for name in ["c", "half"] {
                ids.take(&id(name)).expect("free");
                ids.give_back(&id(name));
            }
        }
    }

    #[test]
    fn a_default_never_comes_again_whatever_the_clock_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("client-order-ids");
        let mut taken = HashSet::new();
        // As an earlier version wrote one.
        std::fs::write(&path, "+web-1500\n").expect("written");
        for now in [1_000, 1_500, 1_500, 900, 1_400, 2_000, 3_000, 1_000] {
            let ids = ClientIds::open(&path).expect("readable");
            for now in [now, now, now - 500] {
                let id = ids.take_default(UnixMs(now)).expect("one");
                assert_ne!(id.as_str(), "web-1500");
                assert!(taken.insert(id), "{id:?}");
                ids.give_back(&id);
                // The core gave it a number, and the client names it, or an older one, itself.
                for id in &taken {
                    assert!(matches!(ids.take(id), Err(NotTaken::Used)), "{id:?}");
                }
            }
        }
        let ids = ClientIds::open(&path).expect("readable");
        assert_eq!(ids.used(), 0, "one line says it of all");
        let text = std::fs::read_to_string(&path).expect("there");
        assert_eq!(text.lines().count(), 1, "{text}");
        for other in ["web-1-0", "web-01", "web-", "web-1-", "web-1-1-1"] {
            ids.take(&id(other)).expect("no default");
        }
        ids.take(&id("web-5000")).expect("a client's own");
        let next = ids.take_default(UnixMs(5_000)).expect("one");
        assert_eq!(next.as_str(), "web-5000-1");
        assert!(ids.take(&id("web-5000")).is_err());
    }

    #[derive(Clone, Debug)]
    enum Act {
        Take(&'static str),
        GiveBack(&'static str),
        Default(u64),
        Restart,
    }

    fn act() -> impl Strategy<Value = Act> {
        let name = || prop::sample::select(vec!["a", "b", "web-3", "web-3-1", "web-7", "web-07"]);
        prop_oneof![
            4 => name().prop_map(Act::Take),
            2 => name().prop_map(Act::GiveBack),
            4 => (0u64..10).prop_map(Act::Default),
            1 => Just(Act::Restart),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_id_is_taken_twice(acts in prop::collection::vec(act(), 1..60)) {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("client-order-ids");
            let mut ids = ClientIds::open(&path).expect("new");
            // The obvious model: all of them, one by one.
            let mut held: HashSet<ClientId> = HashSet::new();
            for act in acts {
                match act {
                    Act::Take(name) => {
                        let taken = ids.take(&id(name)).is_ok();
                        prop_assert!(!taken || !held.contains(&id(name)), "{name}");
                        // Only a default may be refused that nobody took.
                        let is_free = !held.contains(&id(name));
                        prop_assert!(taken || !is_free || DefaultId::named(&id(name)).is_some());
                        if taken {
                            held.insert(id(name));
                        }
                    }
                    Act::GiveBack(name) => {
                        // As the server does: who took it gives it back.
                        if held.contains(&id(name)) && DefaultId::named(&id(name)).is_none() {
                            ids.give_back(&id(name));
                            held.remove(&id(name));
                        }
                    }
                    Act::Default(now) => {
                        let taken = ids.take_default(UnixMs(now)).expect("one");
                        prop_assert!(held.insert(taken), "{taken:?}");
                    }
                    Act::Restart => ids = ClientIds::open(&path).expect("readable"),
                }
            }
        }
    }

    #[test]
    fn the_file_keeps_what_still_says_something() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("client-order-ids");
        let lines = || std::fs::read_to_string(&path).expect("there");
        let ids = ClientIds::open(&path).expect("new");
        let order = |sequence| OrderId { run: 7, sequence };
        ids.take(&id("kept")).expect("free");
        // One order after the other that risk refuses, and some that it takes.
        let mut longest = 0;
        for sequence in 0..70_000 {
            let refused = id(&format!("refused-{sequence:028}"));
            ids.take(&refused).expect("free");
            ids.give_back(&refused);
            if sequence % 10 == 0 {
                let taken = ids.take_default(UnixMs(u64::from(sequence))).expect("one");
                ids.number(&taken, order(sequence));
            }
            if sequence % 256 == 0 {
                longest = longest.max(std::fs::metadata(&path).expect("there").len());
            }
        }
        assert!(
            longest < journal::GROWN_BYTES_MIN + (100 << 10),
            "{longest}"
        );
        assert_eq!(ids.used(), 1);
        let numbered = ids.numbered();
        assert_eq!(numbered.len(), NUMBERED_MAX);
        for _ in 0..2 {
            let ids = ClientIds::open(&path).expect("there");
            assert_eq!(lines().lines().count(), 2 + NUMBERED_MAX);
            assert!(lines().starts_with("+kept\n~web-69990\n="));
            assert_eq!(ids.numbered(), numbered);
            assert!(matches!(ids.take(&id("kept")), Err(NotTaken::Used)));
        }
    }

    #[test]
    fn when_it_is_full_orders_without_an_id_pass() {
        let ids = ClientIds::default();
        ids.lock().used.extend(1..IDS_MANY as u128);
        assert!(!ids.lock().warned);
        ids.take(&id("a")).expect("room");
        assert!(ids.lock().warned, "nine tenths");
        ids.lock().used.extend(1..IDS_MAX as u128);
        assert_eq!(ids.used(), IDS_MAX);
        assert!(matches!(ids.take(&id("a")), Err(NotTaken::Used)));
        assert!(matches!(ids.take(&id("b")), Err(NotTaken::Full)));
        ids.take_default(UnixMs(1)).expect("takes no room");
        ids.give_back(&id("a"));
        ids.take(&id("b")).expect("room again");
    }

    #[test]
    fn a_disk_that_was_full_for_a_moment_stops_no_start() {
        let name = "api::client_ids::tests::a_disk_that_was_full_for_a_moment_stops_no_start";
        with_small_files(name, || {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("client-order-ids");
            let ids = ClientIds::open(&path).expect("new");
            let long = |number: u32| id(&format!("{number:036}"));
            let taken = (0..).take_while(|number| ids.take(&long(*number)).is_ok());
            let taken = u32::try_from(taken.count()).expect("few");
            assert!(taken > 0);
            assert!(matches!(ids.take(&long(taken)), Err(NotTaken::Io(_))));
            ids.take(&id("short")).expect("room");
            let ids = ClientIds::open(&path).expect("whole lines");
            for name in (0..taken).map(long).chain([id("short")]) {
                assert!(matches!(ids.take(&name), Err(NotTaken::Used)), "{name:?}");
            }
        });
    }

    #[test]
    fn a_file_that_is_none_stops_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("client-order-ids");
        for text in [
            "a\n",
            "=a\n",
            "=a 7\n",
            "+a 7-1\n",
            "+\n",
            "+a b\n",
            "*a\n",
            "\n\n",
            "+a\n\u{e4}\n",
            "~a\n",
            "~web-01\n",
        ] {
            std::fs::write(&path, text).expect("written");
            let error = ClientIds::open(&path).expect_err("refused").to_string();
            assert!(error.contains("line"), "{error}");
        }
        std::fs::write(&path, b"+\xff\n").expect("written");
        assert!(ClientIds::open(&path).is_err());
        assert!(ClientIds::open(&directory.path().join("no/such")).is_err());
    }
}
