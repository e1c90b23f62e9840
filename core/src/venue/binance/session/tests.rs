//! Scenarios of links as text, through one [`check`].
//!
//! A line is `MS INPUT => ACTIONS | NOTICES`, actions and notices in short words; `-` stands for none.

use super::*;
use crate::config::Streams;
use crate::instrument::Instruments;
use crate::instrument::tests::instrument;
use crate::limits::{CONNECT_WINDOW, CONNECTS_ASKED_MAX};
use crate::outbox::Action;
use std::fmt::Write as _;

fn config() -> LinkConfig {
    LinkConfig {
        rotate_after: Nanos::from_secs(100),
        rotate_jitter: Nanos::ZERO,
        overlap: Nanos::from_secs(2),
        silence_max: Nanos::from_secs(10),
        connect_timeout: Nanos::from_secs(15),
        backoff_base: Nanos::from_ms(250),
        backoff_max: Nanos::from_secs(30),
    }
}

fn session(instruments: usize, config: LinkConfig) -> Session {
    let list = (0..instruments)
        .map(|number| instrument(&format!("A{number}"), 1, 1))
        .collect();
    let instruments = Instruments::new(list).expect("unique");
    let subscriptions = Subscriptions::new(&instruments, Streams::default()).expect("few");
    Session::new(
        config,
        Nanos::from_secs(5),
        subscriptions,
        false,
        Jitter::new(1),
    )
}

fn short(link: LinkId) -> String {
    let role = match link.role {
        LinkRole::Market => 'M',
        LinkRole::Api => 'A',
        LinkRole::Orders => 'O',
    };
    format!("{role}{}", link.generation)
}

fn link(text: &str) -> LinkId {
    let role = match &text[..1] {
        "M" => LinkRole::Market,
        "A" => LinkRole::Api,
        "O" => LinkRole::Orders,
        other => panic!("no role {other}"),
    };
    LinkId {
        role,
        generation: text[1..].parse().expect("a generation"),
    }
}

fn actions(out: &Outbox) -> String {
    let mut text = String::new();
    for action in out.actions() {
        match action {
            Action::Connect { link } => write!(text, "connect {} ", short(link)),
            Action::Close { link, cause } => {
                write!(text, "close {} {} ", short(link), cause.label())
            }
            Action::Send { link, message } => {
                let message = std::str::from_utf8(message).expect("text");
                let id = message.rsplit(':').next().expect("an id");
                assert!(message.starts_with("{\"method\":\"SUBSCRIBE\",\"params\":[\"a0@"));
                write!(
                    text,
                    "subscribe {} {} ",
                    short(link),
                    id.trim_end_matches('}')
                )
            }
        }
        .expect("a string");
    }
    text.trim_end().to_owned()
}

fn notices_text(notices: &[Notice]) -> String {
    let mut text = String::new();
    for notice in notices {
        match notice {
            Notice::Asked { link, again } => {
                write!(
                    text,
                    "asked {}{} ",
                    short(*link),
                    if *again { " again" } else { "" }
                )
            }
            Notice::Up { link } => write!(text, "up {} ", short(*link)),
            Notice::LogOn { link } => write!(text, "log-on {} ", short(*link)),
            Notice::Ready { link, .. } => write!(text, "ready {} ", short(*link)),
            Notice::Down {
                link, others_ready, ..
            } => write!(
                text,
                "down {}{} ",
                short(*link),
                if *others_ready { " others" } else { "" }
            ),
            Notice::Retired { link, .. } => write!(text, "retired {} ", short(*link)),
            Notice::SubscribeOverdue { link } => write!(text, "overdue {} ", short(*link)),
            Notice::OutboxFull => write!(text, "full "),
        }
        .expect("a string");
    }
    text.trim_end().to_owned()
}

/// Plays `script` and compares every line that names an outcome.
fn check(name: &str, script: &str) {
    let mut session = session(1, config());
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (input, expected) = match line.split_once("=>") {
            Some((input, expected)) => (input.trim(), Some(expected.trim())),
            None => (line, None),
        };
        let words: Vec<&str> = input.split_whitespace().collect();
        let now = Nanos::from_ms(words[0].parse().expect("a line starts with ms"));
        let (mut out, mut notices) = (Outbox::new(), Vec::new());
        match words[1] {
            "tick" => session.tick(now, &mut out, &mut notices),
            // Ticks when the session itself asked for it, and only then.
            "due" => {
                let ms = session.due().0.div_ceil(1_000_000);
                assert_eq!(ms, now.as_ms(), "{name}: {line}");
                session.tick(now, &mut out, &mut notices);
            }
            "up" => session.link_up(now, link(words[2]), &mut out, &mut notices),
            "down" => session.link_down(now, link(words[2]), LinkDown::Closed, &mut notices),
            "fail" => session.fail(
                now,
                link(words[2]),
                LinkDown::Requested,
                &mut out,
                &mut notices,
            ),
            "heard" => assert!(session.heard(now, link(words[2])).is_some(), "{line}"),
            "foreign" => assert!(session.heard(now, link(words[2])).is_none(), "{line}"),
            "closing" => session.venue_closes(link(words[2])),
            "hold" => session.hold(LinkRole::Api, Nanos::from_ms(words[2].parse().expect("ms"))),
            "accept" | "refuse" => {
                let error = (words[1] == "refuse").then_some(2);
                let id = words[3].parse().ok();
                let reply = session.subscribe_reply(now, link(words[2]), id, error, &mut notices);
                // A refused subscription shows as an overdue one of nobody, for the script's sake.
                if reply == SubscribeReply::Refused {
                    notices.push(Notice::SubscribeOverdue { link: link("M0") });
                }
            }
            "stop" => session.stop(now, &mut out, &mut notices),
            other => panic!("no input {other}"),
        }
        if let Some(expected) = expected {
            let dash = |text: String| {
                if text.is_empty() {
                    "-".to_owned()
                } else {
                    text
                }
            };
            let got = format!("{} | {}", dash(actions(&out)), dash(notices_text(&notices)));
            assert_eq!(got, expected, "{name}: {line}");
        }
    }
}

const BOTH_READY: &str = "0 due => connect M1 connect A2 | asked M1 asked A2
     100  up M1           => subscribe M1 1 | up M1
     110  up A2           => - | up A2 ready A2
     150  accept M1 1     => - | ready M1\n";

#[test]
fn both_roles_come_up() {
    check("up", BOTH_READY);
    check(
        "a reply to something else",
        "0    due
         100  up M1
         150  accept M1 7     => - | -
         150  refuse M1 7     => - | -
         150  refuse M1 null  => - | overdue M0",
    );
}

#[test]
fn a_link_that_does_not_come_up_is_tried_again() {
    check(
        "refused",
        "0    due            => connect M1 connect A2 | asked M1 asked A2
         10   up A2          => - | up A2 ready A2
         20   down M1        => - | down M1
         144  tick           => - | -
         270  tick           => connect M3 | asked M3
         300  down M3        => - | down M3
         549  tick           => - | -
         800  tick           => connect M4 | asked M4
         15799 tick          => - | -
         15800 tick          => close M4 connect | down M4",
    );
}

#[test]
fn an_unanswered_subscription_ends_the_link() {
    check(
        "overdue",
        "0    due
         100  up M1           => subscribe M1 1 | up M1
         110  up A2
         5100 due             => close M1 requested | overdue M1 down M1",
    );
}

#[test]
fn a_silent_market_link_is_closed() {
    check(
        "silent",
        &format!(
            "{BOTH_READY} 5000 heard M1
             10100 tick           => - | -
             14999 tick           => - | -
             15000 due            => close M1 silent | down M1
             15250 tick           => connect M3 | asked M3 again"
        ),
    );
}

#[test]
fn rotation_runs_both_side_by_side() {
    let alive = "9000 heard M1\n 18000 heard M1\n 27000 heard M1\n 36000 heard M1\n 45000 heard M1
         54000 heard M1\n 63000 heard M1\n 72000 heard M1\n 81000 heard M1\n 90000 heard M1
         99000 heard M1\n";
    let successor = format!(
        "{BOTH_READY}{alive} 100100 due   => connect M3 | asked M3 again
         100110 tick          => connect A4 | asked A4 again
         100200 up M3         => subscribe M3 2 | up M3
         100210 up A4         => - | up A4 ready A4
         100250 heard M1\n"
    );
    check(
        "rotation",
        &format!(
            "{successor} 100300 accept M3 2 => - | ready M3
             102209 tick          => - | -
             102210 due           => close A2 requested | retired A2
             102300 due           => close M1 requested | retired M1
             102300 foreign M1
             102400 down M1       => - | -"
        ),
    );
    check(
        "the old link dies before the new one is ready",
        &format!(
            "{successor} 100260 down M1   => - | down M1
             100300 accept M3 2   => - | ready M3
             100400 tick          => - | -"
        ),
    );
    check(
        "the new link dies during the overlap",
        &format!(
            "{successor} 100300 accept M3 2 => - | ready M3
             100400 down M3       => - | down M3 others
             100900 tick          => connect M5 | asked M5 again"
        ),
    );
    check(
        "the new link never comes up",
        &format!(
            "{successor} 100300 refuse M3 2 => - | overdue M0
             100300 fail M3       => close M3 requested | down M3 others
             100301 tick          => - | -
             100800 tick          => connect M5 | asked M5 again"
        ),
    );
}

#[test]
fn a_link_that_the_venue_will_close_is_replaced_at_once() {
    check(
        "server shutdown",
        &format!(
            "{BOTH_READY} 1000 closing M1
             1000 tick            => connect M3 | asked M3 again
             1100 up M3           => subscribe M3 2 | up M3
             1150 accept M3 2     => - | ready M3
             3150 due             => close M1 requested | retired M1"
        ),
    );
}

#[test]
fn a_held_role_does_not_connect() {
    check(
        "hold",
        &format!(
            "{BOTH_READY} 1000 hold 60000
             1000 down A2         => - | down A2
             5000 heard M1
             9000 heard M1
             9500 tick            => - | -
             18000 heard M1
             27000 heard M1\n 36000 heard M1\n 45000 heard M1\n 54000 heard M1
             59999 tick           => - | -
             60000 tick           => connect A3 | asked A3 again"
        ),
    );
}

#[test]
fn stopping_closes_everything_for_good() {
    check(
        "stop",
        &format!(
            "{BOTH_READY} 1000 stop => close M1 requested close A2 requested | down M1 down A2
             99999 tick           => - | -"
        ),
    );
}

/// Long lists go out in several messages, three a second at most.
#[test]
fn subscriptions_are_paced() {
    let mut session = session(256, config());
    let (mut out, mut notices) = (Outbox::new(), Vec::new());
    session.tick(Nanos::ZERO, &mut out, &mut notices);
    session.link_up(Nanos::ZERO, link("M1"), &mut out, &mut notices);
    let mut sent_at = Vec::new();
    let mut now = Nanos::ZERO;
    while now < Nanos::from_secs(3) {
        for action in out.actions() {
            if let Action::Send { .. } = action {
                sent_at.push(now);
                let id = sent_at.len() as i64;
                let reply = session.subscribe_reply(now, link("M1"), Some(id), None, &mut notices);
                assert_eq!(reply, SubscribeReply::Accepted);
            }
        }
        out.clear();
        now = now.plus(Nanos::from_ms(1));
        if session.due() <= now {
            session.tick(now, &mut out, &mut notices);
        }
    }
    assert_eq!(sent_at.len(), 768usize.div_ceil(200));
    for window in sent_at.windows(2) {
        assert!(window[1].since(window[0]) >= SUBSCRIBE_INTERVAL);
    }
    assert!(
        notices
            .iter()
            .any(|notice| matches!(notice, Notice::Ready { .. }))
    );
}

/// A venue that refuses every connection is not asked more often than it allows.
#[test]
fn refused_connections_stay_inside_the_venues_limit() {
    let mut config = config();
    config.backoff_max = config.backoff_base;
    let mut session = session(1, config);
    let (mut out, mut notices) = (Outbox::new(), Vec::new());
    let mut asked = Vec::new();
    let mut now = Nanos::ZERO;
    while now < Nanos::from_secs(1_000) {
        session.tick(now, &mut out, &mut notices);
        for action in out.actions() {
            if let Action::Connect { link } = action {
                asked.push(now);
                session.link_down(now, link, LinkDown::Connect, &mut notices);
            }
        }
        out.clear();
        notices.clear();
        now = session.due().max(now.plus(Nanos(1)));
    }
    assert!(asked.len() > 3 * CONNECTS_ASKED_MAX);
    for window in asked.windows(CONNECTS_ASKED_MAX + 1) {
        assert!(window[CONNECTS_ASKED_MAX].since(window[0]) >= CONNECT_WINDOW);
    }
}

#[test]
fn a_full_outbox_is_tried_again() {
    let mut session = session(1, config());
    let (mut out, mut notices) = (Outbox::new(), Vec::new());
    let filler = link("A99");
    while out.connect(filler).is_ok() {}
    session.tick(Nanos::ZERO, &mut out, &mut notices);
    assert_eq!(notices_text(&notices), "full full");
    assert_eq!(session.due(), Nanos::ZERO, "at once");
    out.clear();
    notices.clear();
    session.tick(Nanos::ZERO, &mut out, &mut notices);
    assert_eq!(actions(&out), "connect M1 connect A2");

    while out.connect(filler).is_ok() {}
    session.fail(
        Nanos(5),
        link("M1"),
        LinkDown::Requested,
        &mut out,
        &mut notices,
    );
    out.clear();
    notices.clear();
    session.tick(Nanos(6), &mut out, &mut notices);
    assert_eq!(actions(&out), "close M1 requested");
}
