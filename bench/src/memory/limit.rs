//! How much of a limit on its addresses (`RLIMIT_AS`) a heap can use, and what its calls cost there.

use super::job::Job;
use super::parent::Parent;
use crate::allocators::candidate::Entry;
use crate::base::kernel;
use crate::base::random::{SEED, below, next};
use crate::base::table::number;
use crate::options::Part;
use anyhow::{Result, ensure};
use indicatif::HumanCount;
use std::ptr::null_mut;

/// Bytes of the blocks, one process for each.
pub(super) const SIZES: [&str; 3] = ["100", "1000", "20000"];

/// What a process may map beyond what it has before its first block.
const LIMIT: usize = 1 << 30;
/// Mappings from before the limit may also have room for blocks.
const SPARE: usize = 64 << 20;
const REFUSALS: usize = 200;
const EXCHANGES: usize = 2_000;
/// How often requests are made in a row before it is said that none are refused.
const ATTEMPTS: usize = 100;

/// The blocks that fit, and a place for more.
struct Full {
    entry: &'static Entry,
    size: usize,
    slots: &'static mut [*mut u8],
    count: usize,
}

impl Full {
    /// Allocates once, writes the first word and keeps the block. Returns whether there was one.
    fn add(&mut self) -> bool {
        let payload = allocate(self.entry, self.size);
        if payload.is_null() || self.count == self.slots.len() {
            return false;
        }
        self.slots[self.count] = payload;
        self.count += 1;
        true
    }

    /// Mean nanoseconds of requests that are all refused. If one is granted, its block is kept and the count starts again.
    fn refusals(&mut self) -> Option<u64> {
        (0..ATTEMPTS).find_map(|_| {
            let begin = kernel::processor_time();
            let refused = (0..REFUSALS).filter(|_| !self.add()).count();
            let spent = kernel::processor_time() - begin;
            (refused == REFUSALS).then_some(spent / REFUSALS as u64)
        })
    }

    /// Mean nanoseconds of freeing a random block, if there is one, and allocating one, and how many requests were
    /// refused.
    fn exchanges(&mut self) -> (u64, u64) {
        let (mut random, mut refused) = (SEED, 0);
        let mut victims = [0; EXCHANGES];
        victims.fill_with(|| below(next(&mut random), self.count.max(1)));
        let begin = kernel::processor_time();
        for index in victims {
            let block = std::mem::replace(&mut self.slots[index], null_mut());
            if !block.is_null() {
                // SAFETY: the block is live and of this size, and its slot is empty now.
                unsafe { (self.entry.free)(block, self.size) };
            }
            self.slots[index] = allocate(self.entry, self.size);
            refused += u64::from(self.slots[index].is_null());
        }
        ((kernel::processor_time() - begin) / EXCHANGES as u64, refused)
    }
}

fn allocate(entry: &Entry, size: usize) -> *mut u8 {
    // SAFETY: the size is not 0; a block that is not null has at least 8 bytes.
    unsafe {
        let payload = (entry.allocate)(size);
        if !payload.is_null() {
            payload.cast::<u64>().write_unaligned(1);
        }
        payload
    }
}

/// Prints the bytes asked for, nanoseconds of a refusal (0: none) and of an exchange, and refusals in exchanges.
pub(super) fn child(job: &Job) -> Result<()> {
    let size = job.case.parse()?;
    ensure!(size >= 8, "a block has a first word");
    let slots = kernel::table((LIMIT / job.scale + SPARE) / size, |_| null_mut());
    (job.entry.prepare)();
    kernel::limit_address_space(LIMIT / job.scale);
    let mut full = Full { entry: job.entry, size, slots, count: 0 };
    while full.add() {}
    let bytes = (full.count * size) as u64;
    let refusal = full.refusals().unwrap_or(0);
    let (exchange, refused) = full.exchanges();
    kernel::say(format_args!("{:?}", [bytes, refusal, exchange, refused]));
    Ok(())
}

const HEADER: [&str; 3] = ["asked for, % of the limit", "a refused request, ns", "free and allocate, ns"];

pub(super) fn tables(parent: &mut Parent<'_>) -> String {
    let limit = LIMIT / parent.scale();
    let table = |size: &&str| {
        let bytes = HumanCount(size.parse().unwrap_or_default());
        let caption = format!("At a limit of {} MiB more addresses: blocks of {bytes} B", limit >> 20);
        parent.measure(Part::Limit, size, &caption, &HEADER, |numbers| row(numbers, limit))
    };
    SIZES.iter().map(table).collect()
}

fn row([bytes, refusal, exchange, refused]: [u64; 4], limit: usize) -> Vec<String> {
    let share = format!("{:.1}", 100.0 * bytes as f64 / limit as f64);
    let refusal = match refusal {
        0 => "none refused".to_owned(),
        _ => number(refusal as f64),
    };
    let exchange = match refused {
        _ if refused == EXCHANGES as u64 => "all refused".to_owned(),
        0 => number(exchange as f64),
        _ => format!("{} ({refused} refused)", number(exchange as f64)),
    };
    vec![share, refusal, exchange]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;

    #[test]
    fn a_row_says_what_was_refused() {
        assert_eq!(row([1 << 29, 1500, 80, 0], 1 << 30), ["50.0", "1500", "80.0"]);
        assert_eq!(row([1 << 29, 0, 80, 3], 1 << 30)[1..], ["none refused", "80.0 (3 refused)"]);
        assert_eq!(row([0, 900, 900, 2000], 1 << 30), ["0.0", "900", "all refused"]);
    }

    #[test]
    fn a_full_table_counts_as_refused_and_exchanges_go_on() {
        let entry = allocators::find("system").unwrap();
        let mut full = Full { entry, size: 100, slots: kernel::table(50, |_| null_mut()), count: 0 };
        while full.add() {}
        assert!(full.refusals().is_some());
        assert_eq!((full.count, full.exchanges().1), (50, 0));
    }
}
