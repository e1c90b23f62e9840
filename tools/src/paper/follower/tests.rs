use super::*;
use veloz_core::units::E8;

const S: Nanos = Nanos::from_secs(1);

/// The fed side: a book's id, or none, as the venue keeps it.
#[derive(Default)]
struct Fed {
    book: Option<u64>,
    taken: Vec<FeedUpdate>,
}

impl Fed {
    fn push(&mut self, update: FeedUpdate) -> Result<(), FeedError> {
        match &update {
            FeedUpdate::Snapshot(snapshot) => self.book = Some(snapshot.last_update_id),
            FeedUpdate::Lost => self.book = None,
            FeedUpdate::Depth {
                first_id, last_id, ..
            } => {
                let at = self.book.ok_or(FeedError::NoBook)?;
                if *first_id > at + 1 {
                    self.book = None;
                    return Err(FeedError::Gap { at, got: *first_id });
                }
                self.book = Some(at.max(*last_id));
            }
            FeedUpdate::BookTicker { .. } | FeedUpdate::Trade(_) => {}
        }
        self.taken.push(update);
        Ok(())
    }
}

fn diff(first_id: u64, last_id: u64) -> FeedUpdate {
    FeedUpdate::Depth {
        first_id,
        last_id,
        bids: vec![],
        asks: vec![],
    }
}

fn ticker(update_id: u64) -> FeedUpdate {
    let level = Level {
        price: E8(1),
        qty: E8(1),
    };
    FeedUpdate::BookTicker {
        update_id,
        bid: level,
        ask: level,
    }
}

fn book(last_update_id: u64) -> Snapshot {
    Snapshot {
        last_update_id,
        bids: vec![],
        asks: vec![],
    }
}

struct World {
    follower: Follower,
    fed: Vec<Fed>,
    now: Nanos,
}

impl World {
    fn new(count: usize) -> Self {
        Self {
            follower: Follower::new(count, 1),
            fed: (0..count).map(|_| Fed::default()).collect(),
            now: Nanos::from_secs(100),
        }
    }

    fn update(&mut self, symbol: usize, update: FeedUpdate) -> Result<(), FeedError> {
        let fed = &mut self.fed;
        self.follower
            .update(self.now, symbol, update, &mut |which, update| {
                fed[which].push(update)
            })
    }

    fn snapshot(&mut self, id: u64) -> Result<Answered, FeedError> {
        let fed = &mut self.fed;
        self.follower
            .snapshot(self.now, book(id), &mut |which, update| {
                fed[which].push(update)
            })
    }

    fn lost(&mut self) {
        let fed = &mut self.fed;
        let lost = self
            .follower
            .lost(self.now, &mut |which, update| fed[which].push(update));
        assert_eq!(lost, Ok(()));
    }

    fn question(&mut self) -> Option<usize> {
        self.follower.question(self.now)
    }

    /// A world of one symbol that follows at id 12.
    fn following() -> Self {
        let mut world = Self::new(1);
        assert_eq!(world.update(0, diff(9, 12)), Ok(()));
        assert_eq!(world.question(), Some(0));
        assert_eq!(world.snapshot(10), Ok(Answered::Following));
        assert_eq!(world.fed[0].book, Some(12));
        world
    }
}

#[test]
fn a_book_is_asked_for_after_the_first_diff_and_once() {
    let mut world = World::new(1);
    assert_eq!(world.question(), None);
    assert_eq!(world.update(0, ticker(8)), Ok(()));
    assert_eq!(world.question(), None);
    assert_eq!(world.update(0, diff(9, 12)), Ok(()));
    assert_eq!(world.question(), Some(0));
    world.now = world.now.plus(Nanos::from_secs(60));
    assert_eq!(world.question(), None, "the answer is awaited");
    assert_eq!(world.update(0, diff(13, 14)), Ok(()));
    assert!(world.fed[0].taken.is_empty(), "nothing before the book");
    assert_eq!(world.snapshot(10), Ok(Answered::Following));
    let expected = [FeedUpdate::Snapshot(book(10)), diff(9, 12), diff(13, 14)];
    assert_eq!(world.fed[0].taken, expected);
    assert_eq!(world.update(0, ticker(15)), Ok(()));
    assert_eq!(world.fed[0].taken.len(), 4);
    assert_eq!(world.question(), None);
}

#[test]
fn a_gap_asks_anew_and_keeps_the_diff() {
    let mut world = World::following();
    world.now = world.now.plus(S);
    let gap = world.update(0, diff(14, 15));
    assert_eq!(gap, Err(FeedError::Gap { at: 12, got: 14 }));
    assert_eq!(world.fed[0].book, None);
    assert_eq!(world.question(), None, "too soon after the last question");
    world.now = world.now.plus(S);
    assert_eq!(world.question(), Some(0));
    assert_eq!(world.snapshot(14), Ok(Answered::Following));
    assert_eq!(world.fed[0].book, Some(15));
}

#[test]
fn a_stale_book_is_not_fed_and_asked_for_later() {
    let mut world = World::new(1);
    assert_eq!(world.update(0, diff(9, 12)), Ok(()));
    let mut waits = Vec::new();
    for _ in 0..8 {
        let began = world.now;
        while world.question().is_none() {
            world.now = world.now.plus(Nanos::from_ms(100));
        }
        waits.push(world.now.since(began));
        assert_eq!(world.snapshot(7), Ok(Answered::Stale));
    }
    assert!(world.fed[0].taken.is_empty());
    assert!(waits[1..].iter().all(|&wait| wait >= QUESTION_EVERY));
    assert!(waits[7] >= Nanos::from_secs(15), "{waits:?}");
    assert!(waits.iter().all(|&wait| wait <= BACKOFF_MAX.plus(S)));
}

#[test]
fn a_lost_connection_empties_every_book_and_forgets_the_question() {
    let mut world = World::following();
    world.now = world.now.plus(QUESTION_EVERY);
    assert!(world.update(0, diff(20, 21)).is_err());
    assert_eq!(world.question(), Some(0));
    world.lost();
    assert_eq!(world.snapshot(30), Ok(Answered::Unasked));
    assert_eq!(world.fed[0].book, None);
    world.now = world.now.plus(QUESTION_EVERY);
    assert_eq!(world.question(), None, "nothing is held");
    assert_eq!(world.update(0, diff(40, 41)), Ok(()));
    assert_eq!(world.question(), Some(0));
    assert_eq!(world.snapshot(45), Ok(Answered::Following));
    assert_eq!(world.update(0, diff(46, 47)), Ok(()));
    assert_eq!(world.fed[0].book, Some(47));
}

#[test]
fn questions_of_all_symbols_share_one_pace() {
    let mut world = World::new(3);
    for symbol in 0..3 {
        assert_eq!(world.update(symbol, diff(1, 2)), Ok(()));
    }
    let mut asked = Vec::new();
    for _ in 0..200 {
        if let Some(symbol) = world.question() {
            asked.push((world.now, symbol));
            world.follower.refused(world.now, None);
        }
        world.now = world.now.plus(Nanos::from_ms(50));
    }
    assert!(asked.len() <= 5, "10 s: {asked:?}");
    for symbol in 0..3 {
        assert!(asked.iter().any(|&(_, which)| which == symbol));
    }
    world.follower.asked = Some(0);
    world
        .follower
        .refused(world.now, Some(Nanos::from_secs(120)));
    world.now = world.now.plus(Nanos::from_secs(119));
    assert_eq!(world.question(), None, "the venue wants quiet");
    world.now = world.now.plus(S);
    assert!(world.question().is_some());
}

#[test]
fn held_diffs_are_bounded_and_without_gaps() {
    let mut world = World::new(1);
    for id in 1..=3 * HELD_MAX as u64 {
        assert_eq!(world.update(0, diff(id, id)), Ok(()));
    }
    assert_eq!(world.follower.symbols[0].held.len(), HELD_MAX);
    assert_eq!(world.update(0, diff(9_000, 9_001)), Ok(()));
    assert_eq!(world.follower.symbols[0].held.len(), 1);
}
