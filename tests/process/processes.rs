//! Processes, and what they do with a heap.

use hmalloc::Hmalloc;
use hmalloc::brk::Brk;
use std::alloc::Layout;
use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// A heap that a thread lends out for long.
pub(crate) static LENT: Hmalloc = Hmalloc::new();

/// A child that hangs dies after so many seconds.
pub(crate) const PATIENCE: u32 = 60;
/// The signal and the line of a process that waits for itself.
pub(crate) const ENDLESS: &str = "hmalloc: waiting for the heap would never end: ";

/// How often to fork; `usual` if the environment does not say.
pub(crate) fn forks(usual: usize) -> usize {
    std::env::var("HMALLOC_TEST_FORKS").map_or(usual, |text| text.parse().expect("a number"))
}

/// Does `act`, and ends the process with status 0 unless it panics.
pub(crate) fn act_and_exit(act: impl FnOnce()) -> ! {
    // SAFETY: the default action of SIGALRM ends the process.
    unsafe { libc::alarm(PATIENCE) };
    let status = if std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_ok() { 0 } else { 101 };
    // SAFETY: nothing runs after it.
    unsafe { libc::_exit(status) }
}

/// Forks by the C library; the child does `act` and nothing else. Returns its id.
pub(crate) fn fork(act: impl FnOnce()) -> i32 {
    // SAFETY: what the child may do after a fork is what is being tested.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "a process");
    if process == 0 {
        act_and_exit(act);
    }
    process
}

/// How a child ended, as `waitpid` says it.
pub(crate) fn wait(process: i32) -> i32 {
    let mut status = -1;
    // SAFETY: the status is written to a place of ours.
    assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
    status
}

/// Forks, and fails unless the child came to the end of `act`.
pub(crate) fn in_child(act: impl FnOnce()) {
    assert_eq!(wait(fork(act)), 0, "the child's status");
}

/// Whether a status is that of a death by SIGABRT.
pub(crate) fn aborted(status: i32) -> bool {
    libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT
}

/// Small, large, grown, shrunk and zeroed memory of the global heap, `rounds` times.
pub(crate) fn use_collections(seed: usize, rounds: usize) {
    for round in 0..rounds {
        let number = seed.wrapping_mul(31).wrapping_add(round);
        let boxes: Vec<Box<usize>> = (0..16).map(|item| Box::new(item + number)).collect();
        let text = format!("{number} of {}", boxes.len());
        let mut grown = vec![number as u8; number % 300 + 1];
        grown.resize(20_000 + number % 60_000, 7);
        grown.truncate(100);
        grown.shrink_to_fit();
        assert!(boxes.iter().enumerate().all(|(item, kept)| **kept == item + number));
        assert!(vec![0_u8; 1 + number % 50_000].iter().all(|&byte| byte == 0));
        black_box((text, grown));
    }
}

/// The same with blocks of `heap`.
pub(crate) fn use_heap<B: Brk>(heap: &Hmalloc<hmalloc::Futex, B>, seed: usize, rounds: usize) {
    for round in 0..rounds {
        let sizes = [16, 200 + seed % 100, 3000, 40_000 + round % 1000];
        let blocks = sizes.map(|size| {
            let block = heap.allocate(Layout::from_size_align(size, 16).expect("a layout")).expect("memory");
            // SAFETY: the block is this long.
            unsafe { block.write_bytes(seed as u8, size) };
            block
        });
        for (block, size) in blocks.into_iter().zip(sizes) {
            // SAFETY: written above, and freed here once.
            unsafe {
                assert_eq!((block.read(), block.add(size - 1).read()), (seed as u8, seed as u8));
                heap.free(block.as_ptr(), |misuse| panic!("{misuse}"));
            }
        }
    }
}

/// Runs `act` in this thread while each of `busy` runs again and again in a thread of its own.
pub(crate) fn beside<R>(busy: &[&(dyn Fn(usize) + Sync)], act: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (number, busy) in busy.iter().enumerate() {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    busy(number);
                }
            });
        }
        // The others end, too, if this panics.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        done.store(true, Relaxed);
        result.unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}
