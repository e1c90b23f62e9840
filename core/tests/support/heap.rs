//! The system's allocator, counting what one thread asks of it while it is told to.
//!
//! A test binary that declares this module counts; calls that give memory back count too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    if COUNTING.get() {
        COUNT.set(COUNT.get() + 1);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; the counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts this thread's calls from now on, or no longer.
pub(crate) fn count(on: bool) {
    COUNTING.set(on);
}

/// Calls counted since the last time that they were taken.
pub(crate) fn take() -> u64 {
    COUNT.take()
}

/// Heap calls of `work` on this thread.
pub(crate) fn calls(work: impl FnOnce()) -> u64 {
    take();
    count(true);
    work();
    count(false);
    take()
}

#[test]
fn it_counts() {
    assert_eq!(calls(|| drop(std::hint::black_box(Box::new(1u64)))), 2);
}
