//! A service with threads that shows its heap when it gets SIGUSR1, and ends at SIGTERM.
//!
//! The main thread waits for signals in the ordinary course of the program, so that no handler runs in the middle of
//! anything. Looking at the heap stops the other threads for some microseconds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

static STOP: AtomicBool = AtomicBool::new(false);
static SERVED: AtomicUsize = AtomicUsize::new(0);

/// The signals that the main thread waits for. Blocked before there are other threads, they are blocked in all.
fn block_signals() -> libc::sigset_t {
    // SAFETY: a set is plain data, filled here; the calls write to it and read it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    }
}

fn wait_for_one_of(set: &libc::sigset_t) -> i32 {
    let mut signal = 0;
    // SAFETY: the call reads the set and writes the signal's number.
    unsafe { libc::sigwait(set, &mut signal) };
    signal
}

/// Answers one request: a small document is made, looked at and dropped.
fn serve(number: usize) -> usize {
    let document: BTreeMap<String, Vec<u8>> =
        (0..50).map(|field| (format!("field {field} of {number}"), vec![field; usize::from(field) * 20])).collect();
    document.values().map(Vec::len).sum()
}

fn work() {
    while !STOP.load(Relaxed) {
        let number = SERVED.fetch_add(1, Relaxed);
        assert_eq!(serve(number), 24_500);
    }
}

fn main() {
    let signals = block_signals();
    let workers = [(); 4].map(|()| thread::spawn(work));
    println!("serving");
    while wait_for_one_of(&signals) == libc::SIGUSR1 {
        let (stats, sound) = (HEAP.stats(), HEAP.check().is_ok());
        println!(
            "{} requests; {} blocks of {} bytes live, {} KiB from the kernel, sound: {sound}",
            SERVED.load(Relaxed),
            stats.live_blocks,
            stats.live_bytes,
            stats.heap_bytes >> 10,
        );
    }
    STOP.store(true, Relaxed);
    for worker in workers {
        worker.join().expect("the thread ends");
    }
    println!("stopped");
}
