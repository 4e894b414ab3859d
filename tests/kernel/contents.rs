//! Contents are filled and copied outside of the heap's lock: while that is stopped in the middle, other threads go on.
//!
//! A page of the block is protected, so that a signal handler has the filling or copying thread wait there, until
//! another thread has used the heap. If the lock were held, neither would go on, and the scenario would end for that.

use hmalloc::{Hmalloc, Policy};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use support::child::{observe, scenario};

const KIB: usize = 1 << 10;
const OLD: usize = 256 * KIB;
const NEW: usize = 512 * KIB;
const CONTENT: u8 = 0x5A;
const SIGABRT: i32 = 6;

static ABORTS: Hmalloc = Hmalloc::new();
static REPORTS: Hmalloc = Hmalloc::with_policy(Policy::Report);

/// The protected page.
static PAGE: AtomicUsize = AtomicUsize::new(0);
static STOPPED: AtomicBool = AtomicBool::new(false);
static GO_ON: AtomicBool = AtomicBool::new(false);

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a small layout")
}

fn wait_for(flag: &AtomicBool) {
    while !flag.load(SeqCst) {
        // SAFETY: no arguments.
        unsafe { libc::sched_yield() };
    }
}

fn protect(page: usize, protection: i32) {
    // SAFETY: the page is the scenario's block's, which is only filled or copied while it is protected.
    let answer = unsafe { libc::mprotect(std::ptr::with_exposed_provenance_mut(page), 4096, protection) };
    assert_eq!(answer, 0);
}

/// Runs in the thread that came upon the page.
extern "C" fn stop(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let page = PAGE.load(SeqCst);
    // SAFETY: the kernel passes the address.
    if unsafe { (*info).si_addr() }.addr() & !4095 != page {
        // SAFETY: ends the scenario, which has not come to its end.
        unsafe { libc::_exit(99) }
    }
    STOPPED.store(true, SeqCst);
    wait_for(&GO_ON);
    protect(page, libc::PROT_READ | libc::PROT_WRITE);
}

/// Does `work` on a block with a page that has `protection`; `act` is done by another thread while that stops `work`.
fn while_stopped<R>(
    block: *mut u8,
    protection: i32,
    work: impl FnOnce() -> R,
    act: impl FnOnce() + Send + 'static,
) -> R {
    let page = block.expose_provenance() + OLD / 2;
    PAGE.store(page, SeqCst);
    // SAFETY: the handler makes system calls only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = stop as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()), 0);
    }
    let other = std::thread::spawn(move || {
        wait_for(&STOPPED);
        act();
        GO_ON.store(true, SeqCst);
    });
    protect(page, protection);
    let result = work();
    assert!(STOPPED.load(SeqCst), "it came upon the page");
    other.join().expect("the other thread ends");
    result
}

/// What a thread does that would wait if the lock were held.
fn use_heap() {
    for size in (1..1000).chain([100 * KIB]) {
        // SAFETY: each block is freed with its layout, and not used.
        unsafe {
            let block = ABORTS.alloc(layout(size));
            assert!(!block.is_null());
            ABORTS.dealloc(block, layout(size));
        }
    }
    assert_eq!(ABORTS.check(), Ok(()));
}

/// A block with content, and one behind it.
fn block_of(heap: &Hmalloc) -> *mut u8 {
    let [block, neighbour] = [OLD, KIB * 100].map(|size| heap.allocate(layout(size)).expect("memory").as_ptr());
    assert!(!neighbour.is_null());
    // SAFETY: the block is new, and so long.
    unsafe { block.write_bytes(CONTENT, OLD) };
    block
}

fn holds(block: *const u8, byte: u8) -> bool {
    // SAFETY: the blocks here are at least so long, and all of this was written.
    unsafe { std::slice::from_raw_parts(block, OLD) }.iter().all(|&at| at == byte)
}

#[test]
fn other_threads_use_the_heap_while_zeros_are_written() {
    scenario(&other_threads_use_the_heap_while_zeros_are_written, || {
        let block = block_of(&ABORTS);
        // SAFETY: nothing uses the block any more; what is written to next is a new one.
        unsafe { ABORTS.dealloc(block, layout(OLD)) };
        // SAFETY: as above.
        let zeroed = while_stopped(block, libc::PROT_READ, || unsafe { ABORTS.alloc_zeroed(layout(OLD)) }, use_heap);
        assert!(zeroed == block && holds(zeroed, 0));
    });
}

#[test]
fn other_threads_use_the_heap_while_a_block_is_copied() {
    scenario(&other_threads_use_the_heap_while_a_block_is_copied, || {
        let block = block_of(&ABORTS);
        // SAFETY: the block is used only where the answer says it is.
        let grow = || unsafe { ABORTS.realloc(block, layout(OLD), NEW) };
        let moved = while_stopped(block, libc::PROT_NONE, grow, use_heap);
        assert!(moved != block && holds(moved, CONTENT));
        assert_eq!(ABORTS.check(), Ok(()));
    });
}

/// Grows a block that another thread frees meanwhile, although it is not its own any more.
fn grow_what_is_freed(heap: &'static Hmalloc) {
    let block = block_of(heap);
    let address = block.expose_provenance();
    let intrude = move || {
        // SAFETY: this is the mistake that the heap has to notice.
        unsafe { heap.dealloc(std::ptr::with_exposed_provenance_mut(address), layout(OLD)) }
    };
    // SAFETY: the block is used only where the answer says it is.
    let grow = || unsafe { heap.realloc(block, layout(OLD), NEW) };
    let moved = while_stopped(block, libc::PROT_NONE, grow, intrude);
    assert!(moved != block && holds(moved, CONTENT));
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn a_block_that_is_freed_while_it_is_copied_is_reported() {
    let ended =
        observe(&a_block_that_is_freed_while_it_is_copied_is_reported, "", &[], |_| grow_what_is_freed(&REPORTS));
    let line = ended.stderr.lines().filter(|line| line.starts_with("hmalloc: free: ") && line.contains("already free"));
    assert!(ended.finished && line.count() == 1, "{ended:#?}");
}

#[test]
fn a_block_that_is_freed_while_it_is_copied_aborts() {
    let ended = observe(&a_block_that_is_freed_while_it_is_copied_aborts, "", &[], |_| grow_what_is_freed(&ABORTS));
    let said = ended.stderr.contains("hmalloc: free: ") && ended.stderr.contains("already free");
    assert!(!ended.finished && ended.signal == Some(SIGABRT) && said, "{ended:#?}");
}
