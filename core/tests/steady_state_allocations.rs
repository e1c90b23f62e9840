//! The law of the hot path, counted: after warm-up the core thread allocates nothing, TLS included.
//! What new keys cost, which come a few times a day if at all, is counted too.

#[path = "support/server.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod server;
#[path = "support/steady.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod steady;
#[path = "support/venue.rs"]
mod venue;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;

use server::{Pki, frame, read_frame, read_to_end, serve_websocket};
use steady::{Bench, Echo};
use veloz_core::edge::clock::Clock;

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts what armed threads allocate.
struct Counting;

fn note() {
    if ARMED.get() {
        COUNT.set(COUNT.get() + 1);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches only a thread-local
// without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is the callee's demand.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread inside `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.set(0);
    ARMED.set(true);
    work();
    ARMED.set(false);
    COUNT.get()
}

#[test]
fn records_in_and_out_allocate_nothing() {
    const WARM_UP: u64 = 200;
    const ROUNDS: u64 = 2_000;
    let pki = Pki::new();
    let (go, may_go) = std::sync::mpsc::channel();
    // In lock-step: a ping and its pong, a message and its echo.
    let (port, peer) = serve_websocket(&pki, move |mut tls| {
        for round in 0..WARM_UP + ROUNDS {
            if round == WARM_UP {
                may_go.recv().expect("the counted part begins");
            }
            let size = 100 + (round * 97 % 1_400) as usize;
            tls.write_all(&frame(0x89, &[b'p'; 20])).expect("sent");
            assert_eq!(read_frame(&mut tls).expect("a pong").1, [b'p'; 20]);
            tls.write_all(&frame(0x81, &vec![b'x'; size]))
                .expect("sent");
            assert_eq!(read_frame(&mut tls).expect("an echo").1.len(), size);
        }
        read_to_end(&mut tls);
    });
    let mut bench = Bench::new(&pki, Echo::new(1), Clock::calibrate(), &[port]);
    bench.turn_until(|echo| echo.messages == WARM_UP);
    go.send(()).expect("it waits");
    let count = allocations(|| bench.turn_until(|echo| echo.messages == WARM_UP + ROUNDS));
    assert_eq!(count, 0, "two records in and two out a round");
    drop(bench);
    peer.join().expect("no panic");
}

#[test]
fn new_keys_cost_a_known_number() {
    const WARM_UP: u64 = 50;
    const ROUNDS: u64 = 20;
    let pki = Pki::new();
    let (go, may_go) = std::sync::mpsc::channel();
    let (port, peer) = serve_websocket(&pki, move |mut tls| {
        for round in 0..WARM_UP + ROUNDS {
            if round == WARM_UP {
                may_go.recv().expect("the counted part begins");
            }
            if round >= WARM_UP {
                tls.conn.refresh_traffic_keys().expect("TLS 1.3");
            }
            tls.write_all(&frame(0x81, b"message")).expect("sent");
            read_frame(&mut tls).expect("an echo");
        }
        read_to_end(&mut tls);
    });
    let mut bench = Bench::new(&pki, Echo::new(1), Clock::calibrate(), &[port]);
    bench.turn_until(|echo| echo.messages == WARM_UP);
    go.send(()).expect("it waits");
    let count = allocations(|| bench.turn_until(|echo| echo.messages == WARM_UP + ROUNDS));
    let each = count / ROUNDS;
    assert_eq!(count, each * ROUNDS, "the same every time");
    assert!(each <= NEW_KEYS_ALLOCATIONS_MAX, "{each} for new keys");
    drop(bench);
    peer.join().expect("no panic");
}

/// What is allocated when the peer changes its keys and asks for ours: by rustls, which derives both, and for
/// the ciphers' tables.
const NEW_KEYS_ALLOCATIONS_MAX: u64 = 6;

#[test]
fn the_engine_holds_a_live_book_without_allocating() {
    const WARM_UP: u64 = 3_000;
    const COUNTED: u64 = 30_000;
    let mut live = steady::live_book();
    let total = live.say(WARM_UP + COUNTED);
    live.turn_until_messages(total - COUNTED);

    let count = allocations(|| live.turn_until_messages(total));
    assert_eq!(count, 0, "none for any of the messages");
    assert!(live.book_is_live(), "it was live all along");
    live.end();
}
