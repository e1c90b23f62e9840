//! Handling a message allocates nothing: ten thousand of them, and ten thousand more that each cause an order
//! which the venue then ends, counted by the allocator itself.
//!
//! The only test of its binary, and it counts its own thread alone: the harness allocates too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use veloz_bench::synthetic;
use veloz_bench::tick_to_order::{Flow, Trader, Unstamped};

const WARM_UP: usize = 1_000;
const MESSAGES: usize = 10_000;

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting every call that asks for memory or gives it back.
struct Counting;

fn count() {
    // A thread that is being torn down has no cell any more, and is not the one that counts.
    let counting = COUNTING.try_with(Cell::get).unwrap_or(false);
    if counting {
        COUNT.with(|count| count.set(count.get() + 1));
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is this call's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Heap calls of `work` on this thread.
fn heap_calls(work: impl FnOnce()) -> u64 {
    COUNT.set(0);
    COUNTING.set(true);
    work();
    COUNTING.set(false);
    COUNT.get()
}

#[test]
fn handling_a_message_and_the_life_of_an_order_touch_no_heap() {
    // The counter counts: one allocation and its release.
    assert_eq!(heap_calls(|| drop(std::hint::black_box(Box::new(1u64)))), 2);

    let session = synthetic::session(WARM_UP + MESSAGES).expect("a temporary folder");
    let mut rig = session.rig();
    let warm = session.position_after(session.live(), WARM_UP);
    session.handle(&mut rig, 0..warm);
    let end = session.position_after(warm, MESSAGES);
    assert_eq!(heap_calls(|| session.handle(&mut rig, warm..end)), 0);

    // Without TLS, whose records are counted in the core's own tests. What stands for the venue and the sidecar is not
    // counted.
    let mut flow = Flow::new();
    let mut trader = Trader::plain(Unstamped::default(), &flow);
    let mut calls = 0;
    for nth in 0..WARM_UP + MESSAGES {
        trader.pass();
        let arrival = trader.arrival(&flow.next_tick());
        let made = heap_calls(|| trader.receive(&arrival));
        trader.sent();
        let ended = heap_calls(|| trader.settle());
        trader.tidy();
        if nth >= WARM_UP {
            calls += made + ended;
        }
    }
    assert_eq!(calls, 0);
}
