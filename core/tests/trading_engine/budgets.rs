//! What may be sent how often: messages of a second, and what waits when they are used up.

use veloz_core::event::{Command, Event, LinkRole, Token};
use veloz_core::limits::ORDER_MESSAGES_PER_SECOND_MAX;
use veloz_core::order::{OrderState, Side};
use veloz_core::risk::Rejection;
use veloz_core::telemetry::gauges::Gauge;
use veloz_core::telemetry::records::RecordBody;

use crate::desk::{Desk, Held, Setup, WHOLE, limit};

const PRICE: i64 = 9_900;
/// Messages of a second after which no order and no query may follow.
const ORDERS: usize = ORDER_MESSAGES_PER_SECOND_MAX * 9 / 10;
/// Orders that rest in these tests.
const RESTING: usize = 60;

/// A desk on which so many orders rest and `messages` were sent in this second.
fn busy(messages: usize) -> (Desk, Vec<Held>) {
    let mut desk = Desk::ready(&Setup {
        order_limit: 10_000,
        ..Setup::default()
    });
    desk.advance(2_000);
    let mut resting = Vec::new();
    for number in 0..messages {
        let (_, mut held) = desk.rest(Side::Buy, PRICE, WHOLE / 10);
        if number < RESTING {
            resting.push(held);
        } else {
            desk.fill(&mut held, number as u64 + 1, WHOLE / 10);
        }
    }
    (desk, resting)
}

fn headroom(desk: &Desk) -> i64 {
    desk.reader.gauges.plain(Gauge::MessagesHeadroom)
}

#[test]
fn an_order_beyond_the_pace_is_refused_and_cancels_have_the_rest() {
    let (mut desk, resting) = busy(ORDERS);
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, PRICE, WHOLE), None);
    assert_eq!(reason, Some(Rejection::VenueRateBudget));
    let left = ORDER_MESSAGES_PER_SECOND_MAX - ORDERS;
    assert_eq!(headroom(&desk), left as i64);

    // The first fifty cancels take what is left; the others go when the second is over.
    desk.command(|token| Command::CancelAll {
        token,
        instrument: None,
    });
    let cancels = |desk: &Desk| {
        let sent = desk.asked.iter();
        sent.filter(|asked| asked.method == "order.cancel").count()
    };
    assert_eq!(cancels(&desk), left);
    desk.advance(150);
    assert_eq!(headroom(&desk), 0);
    desk.advance(849);
    assert_eq!(cancels(&desk), left);
    desk.advance(1);
    assert_eq!(cancels(&desk), RESTING);
    for held in resting {
        let asked = desk.take("order.cancel");
        assert_eq!(asked.params["orderId"], held.venue_id);
        desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    }
    desk.place(Side::Buy, PRICE, WHOLE);
}

#[test]
fn what_can_wait_waits_until_the_second_is_over_and_no_longer() {
    let (mut desk, resting) = busy(ORDERS);
    let id = desk.engine.oms().and_then(|oms| oms.open_all().next());
    let id = id.expect("they rest").id();
    // A cancel goes, and what it raises is a question.
    desk.cancel(id);
    let asked = desk.take("order.cancel");
    assert_eq!(asked.params["orderId"], resting[0].venue_id);
    desk.refuse(&asked, 400, r#"{"code":-2011,"msg":"Unknown order sent."}"#);
    assert_eq!(desk.state(id), OrderState::Unresolved);
    desk.advance(999);
    desk.expect_quiet();
    desk.advance(1);
    let asked = desk.take("order.status");
    desk.answer(&asked, &resting[0].status("NEW", desk.unix_ms()));
    assert_eq!(desk.state(id), OrderState::Live);
}

/// The venue counts what an address sends, on whichever link.
#[test]
fn a_new_link_does_not_begin_a_new_second() {
    let (mut desk, _) = busy(ORDERS);
    let link = desk.link(LinkRole::Orders);
    let before = headroom(&desk);
    desk.tell(r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#);
    desk.advance(0);
    assert_ne!(desk.link(LinkRole::Orders), link);
    // To log on is not refused: a link that is not let in is of no use.
    desk.take("session.logon");
    desk.advance(100);
    assert_eq!(headroom(&desk), before - 1);
}

#[test]
fn what_the_dead_man_asks_counts_as_ours_and_leaves_room_for_cancels() {
    let mut desk = Desk::ready(&Setup::default());
    let (id, held) = desk.rest(Side::Buy, PRICE, WHOLE);
    desk.advance(200);
    let limit_of_weight = desk.reader.gauges.plain(Gauge::WeightLimit);
    let left = desk.reader.gauges.plain(Gauge::WeightHeadroom);
    // All that orders may use: nine tenths.
    let spent = left - limit_of_weight / 10;
    let weight = u32::try_from(spent).expect("above zero");
    desk.handle(Event::Command(Command::WeightSpent { weight }));
    desk.advance(200);
    assert_eq!(
        desk.reader.gauges.plain(Gauge::WeightHeadroom),
        left - spent
    );
    let (_, reason, _) = desk.place_intent(limit(Side::Buy, PRICE, WHOLE), None);
    assert_eq!(reason, Some(Rejection::VenueRateBudget));
    desk.cancel(id);
    let asked = desk.take("order.cancel");
    desk.answer(&asked, &held.cancelled(desk.unix_ms()));
    // Nobody waits for an answer to it.
    assert!(!desk.recorded(|record| matches!(
        record,
        RecordBody::CommandDone { token, .. } if *token == Token::default()
    )));
}
