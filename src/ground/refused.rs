//! What is known of blocks that a thread has tried to free again, until the line about it is written: a misuse has no room for it.

use crate::ground::atomic::{Acquire, AtomicU32, Relaxed, Release};
use crate::kernel::tasks;
use core::sync::atomic::AtomicUsize;

/// How many threads may be at it at a time. Of others the line says less.
const REFUSED: usize = 16;
/// Nobody's, and in the hands of a thread. Ids of threads are other numbers.
const FREE: u32 = 0;
const BUSY: u32 = u32::MAX;

/// The threads that allocated a block and freed it, and the numbers of their stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hands {
    pub(crate) threads: [u32; 2],
    pub(crate) stacks: [u32; 2],
}

struct Entry {
    thread: AtomicU32,
    address: AtomicUsize,
    hands: [AtomicU32; 4],
}

static ALL: [Entry; REFUSED] = [const {
    Entry { thread: AtomicU32::new(FREE), address: AtomicUsize::new(0), hands: [const { AtomicU32::new(0) }; 4] }
}; REFUSED];

fn claim(from: u32) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.thread.compare_exchange(from, BUSY, Acquire, Relaxed).is_ok())
}

/// Keeps what is known of the block at `address` for the calling thread, and forgets what it kept before.
pub(crate) fn keep(address: usize, hands: Hands) {
    let thread = tasks::thread_id();
    let Some(entry) = claim(thread).or_else(|| claim(FREE)) else { return };
    let Hands { threads: [t0, t1], stacks: [s0, s1] } = hands;
    entry.address.store(address, Relaxed);
    entry.hands.iter().zip([t0, t1, s0, s1]).for_each(|(place, number)| place.store(number, Relaxed));
    entry.thread.store(thread, Release);
}

/// Takes what the calling thread has kept, if that is of the block at `address`.
pub(crate) fn take(address: usize) -> Option<Hands> {
    let entry = claim(tasks::thread_id())?;
    let [t0, t1, s0, s1] = [0, 1, 2, 3].map(|at| entry.hands[at].load(Relaxed));
    let found = entry.address.load(Relaxed) == address;
    entry.thread.store(FREE, Release);
    found.then_some(Hands { threads: [t0, t1], stacks: [s0, s1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_taken_once_by_the_same_thread() {
        let hands = |number| Hands { threads: [number, 2], stacks: [3, 4] };
        keep(0x5000, hands(1));
        keep(0x6000, hands(9));
        assert_eq!(std::thread::spawn(|| take(0x6000)).join().expect("no panic"), None);
        assert_eq!((take(0x6000), take(0x6000), take(0x5000)), (Some(hands(9)), None, None));
    }
}
