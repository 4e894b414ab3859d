//! Much of what a C library allocates for itself: streams of directories, threads, children.
//!
//!     crowd directories COUNT | threads COUNT | forks COUNT
//!
//! Its memory comes from the C library's malloc, while this program's own heap grows and shrinks.

use company::{HEAP, KIB, Pile, assert_sound, finish, fork, limit, number, word};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;

fn main() {
    let count = number(2);
    match word(1).as_str() {
        "directories" => directories(count),
        "threads" => threads(count),
        "forks" => forks(count),
        other => panic!("no such program: {other}"),
    }
    finish();
}

/// An open directory, and a block with which the C library's malloc has to keep one more account: musl takes a page from
/// the break for some hundred of those.
struct Directory {
    stream: *mut libc::DIR,
    block: *mut u8,
}

const BLOCK: usize = 140_000;

impl Directory {
    fn open() -> Self {
        // SAFETY: the path is a C string; the last byte of the block is written.
        unsafe {
            let (stream, block) = (libc::opendir(c"/proc/self/task".as_ptr()), libc::malloc(BLOCK).cast::<u8>());
            assert!(!stream.is_null() && !block.is_null(), "{}", std::io::Error::last_os_error());
            block.add(BLOCK - 1).write(0x77);
            Self { stream, block }
        }
    }

    /// How many names are in it: at least `.`, `..` and one thread.
    fn count(&self) -> usize {
        // SAFETY: the stream is open.
        (0..).take_while(|_| !unsafe { libc::readdir(self.stream) }.is_null()).count()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: it was opened once and is closed once; the block was written at its end, and is freed once.
        unsafe {
            assert_eq!(libc::closedir(self.stream), 0);
            assert_eq!(self.block.add(BLOCK - 1).read(), 0x77, "the C library lost a block");
            libc::free(self.block.cast());
        }
    }
}

/// Opens `count` directories at once, in waves between which the heap changes its size.
fn directories(count: usize) {
    limit(libc::RLIMIT_NOFILE, None);
    let mut pile = Pile::new(1);
    for wave in [count / 4, count / 2, count] {
        let mut open = Vec::new();
        for index in 0..wave {
            open.push(Directory::open());
            pile.grow(40 * KIB);
            if index % 64 == 0 {
                pile.churn(200, 300 * KIB);
                HEAP.trim(0);
            }
        }
        assert!(open.iter().all(|directory| directory.count() >= 3));
        // Every other one first, to fragment the C library's heap.
        let mut index = 0;
        open.retain(|_| {
            index += 1;
            index % 2 == 0
        });
        pile.churn(400, 300 * KIB);
        drop(open);
        pile.verify();
        assert_sound();
    }
}

/// Parks `count` threads, each with blocks and a directory, over a heap that grows and shrinks.
fn threads(count: usize) {
    limit(libc::RLIMIT_NOFILE, None);
    let (parked, go) = (Arc::new(Barrier::new(count + 1)), Arc::new(Barrier::new(count + 1)));
    let crowd: Vec<_> = (0..count)
        .map(|seed| {
            let (parked, go) = (Arc::clone(&parked), Arc::clone(&go));
            thread::spawn(move || {
                let (mut pile, directories) = (Pile::new(seed), [(); 3].map(|()| Directory::open()));
                pile.churn(20, 60 * KIB);
                parked.wait();
                go.wait();
                assert!(directories.iter().all(|directory| directory.count() >= 3));
                pile.churn(20, 60 * KIB);
                pile.verify();
            })
        })
        .collect();
    parked.wait();
    let mut pile = Pile::new(count);
    for _ in 0..20 {
        pile.churn(300, 300 * KIB);
        HEAP.trim(0);
        assert_sound();
    }
    go.wait();
    crowd.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
}

/// Forks `count` times while threads are in the heap. Each child allocates, opens a directory and starts a thread.
fn forks(count: usize) {
    let done = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..3)
        .map(|seed| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                let mut pile = Pile::new(seed);
                while !done.load(Relaxed) {
                    let open = [(); 120].map(|()| Directory::open());
                    pile.churn(30, 60 * KIB);
                    drop(open);
                }
            })
        })
        .collect();
    for seed in 0..count {
        fork(|| {
            Pile::new(seed).churn(30, 60 * KIB);
            let open = [(); 150].map(|()| Directory::open());
            assert!(open.iter().all(|directory| directory.count() >= 3));
            let thread = thread::spawn(move || Pile::new(seed).churn(30, 60 * KIB));
            thread.join().expect("a thread of the child");
            assert_sound();
        });
    }
    done.store(true, Relaxed);
    busy.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
}
