//! The line about a fault in memory that checked mode has made inaccessible: a large block that was freed, a block of 0 bytes; or
//! right beside the heap's own memory, before or after a block.
//!
//! Written by a handler of the signal, from what records say: they are read without a lock, for the process is about to die.

use super::{Checked, Here};
use crate::ground::header::PAGE;
use crate::ground::record::{Record, State, UNKNOWN};
use crate::ground::size_class::MIN_ALIGN;
use crate::kernel::atomic::{Acquire, Relaxed, Release};
use crate::kernel::line::Line;
use crate::kernel::sys::write_to_stderr;
use crate::kernel::who::name_caller;
use core::sync::atomic::AtomicPtr;

/// So many addresses of blocks of 0 bytes before that of a fault are looked at for one that is live.
const NEAR: usize = 64;

/// So many bytes beside a block the fault may be.
const BESIDE: usize = 4 * PAGE;

/// What is kept for the heap whose faults are explained: the first one of a process.
static EXPLAINED: AtomicPtr<Checked> = AtomicPtr::new(core::ptr::null_mut());

/// A block near the address of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    start: usize,
    bytes: usize,
    is_freed: bool,
    threads: [u32; 2],
}

impl Block {
    fn of(start: usize, bytes: usize, record: &Record, is_freed: bool) -> Self {
        let [allocated, freed] = record.threads();
        Self { start, bytes, is_freed, threads: [allocated, if is_freed { freed } else { UNKNOWN }] }
    }
}

/// Has faults at what is inaccessible explained.
pub(crate) fn explain(checked: &'static Checked) {
    let new = core::ptr::from_ref(checked).cast_mut();
    let _ = EXPLAINED.compare_exchange(core::ptr::null_mut(), new, Release, Relaxed);
    #[cfg(all(
        any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")),
        any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
    ))]
    {
        crate::kernel::fatal::explain_faults(say);
        crate::kernel::fatal::take_faults();
    }
}

/// Writes the line about an access at `address` that was refused. False if that is in no block of this mode's.
#[allow(dead_code, reason = "some architectures have no handler")]
fn say(address: usize) -> bool {
    // SAFETY: it stays.
    let Some(checked) = (unsafe { EXPLAINED.load(Acquire).as_ref() }) else { return false };
    let block =
        checked.nothing_near(address).or_else(|| checked.large_around(address)).or_else(|| checked.used_after(address));
    let Some(block) = block else { return false };
    let mut line = Line::new();
    describe(&mut line, address, block);
    name_caller(&mut line);
    line.end_line();
    write_to_stderr(line.as_bytes());
    true
}

fn describe(line: &mut Line, address: usize, block: Block) {
    let Block { start, bytes, is_freed, threads: [allocated, freed] } = block;
    line.text("hmalloc: fault: ").address(address).text(" is ");
    match address.checked_sub(start) {
        None => line.decimal(start - address).text(" bytes before "),
        Some(inside) if inside < bytes => line.decimal(inside).text(" bytes into "),
        Some(after) => line.decimal(after - bytes).text(" bytes after the end of "),
    };
    line.decimal(bytes).text(if is_freed { " freed" } else { " used" }).text(" bytes at ").address(start);
    crate::door::damage::name_threads(line, allocated, freed);
}

impl Checked {
    /// The block of 0 bytes that is meant by an address among theirs: the live one at it or next before it, or right behind it.
    fn nothing_near(&self, address: usize) -> Option<Block> {
        self.nothing.find(address)?;
        let at = address & !(MIN_ALIGN - 1);
        let live = |start: &usize| self.nothing.find(*start) == Some(Here::Live);
        let before = (0..NEAR).map(|step| at.wrapping_sub(step * MIN_ALIGN));
        let start =
            Some(at).filter(live).or_else(|| Some(at + MIN_ALIGN).filter(live)).or_else(|| before.clone().find(live));
        let (start, is_freed) = start.map_or((at, true), |start| (start, false));
        Some(Block { start, bytes: 0, is_freed, threads: [UNKNOWN; 2] })
    }

    /// The large block around an address that was freed, and waits to be used again; or one that ends shortly before the address.
    fn large_around(&self, address: usize) -> Option<Block> {
        let last = address & !(PAGE - 1);
        // A record that is older may stand at a page inside of the block.
        let pages = (0..super::quarantine::BYTES_MAX / PAGE).map_while(|step| last.checked_sub(step * PAGE));
        pages.filter_map(|start| Some((start, self.records.at(start, 0)?))).find_map(|(start, record)| {
            let known = record.load();
            let end = start + known.size.saturating_add(1).next_multiple_of(PAGE);
            let is_meant = match known.state {
                State::Busy => address < end,
                State::Large => (end..end + BESIDE).contains(&address),
                _ => false,
            };
            is_meant.then(|| Block::of(start, known.size, record, known.state == State::Busy))
        })
    }

    /// The block that starts at a page shortly after an address before which the heap has no memory.
    fn used_after(&self, address: usize) -> Option<Block> {
        let first = (address & !(PAGE - 1)) + PAGE;
        let pages = (first..first + BESIDE).step_by(PAGE);
        pages.filter_map(|start| Some((start, self.records.at(start, 0)?))).find_map(|(start, record)| {
            let known = record.load();
            matches!(known.state, State::Live | State::Large).then(|| Block::of(start, known.size, record, false))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_where_in_which_block() {
        let text = |address, bytes, is_freed| {
            let mut line = Line::new();
            let block = Block { start: 0x5000, bytes, is_freed, threads: [0, if is_freed { 9 } else { UNKNOWN }] };
            describe(&mut line, address, block);
            std::string::String::from(line.as_str())
        };
        let freed = "hmalloc: fault: 0x5004 is 4 bytes into 24 freed bytes at 0x5000, allocated by the first thread, freed by thread 9";
        assert_eq!(text(0x5004, 24, true), freed);
        assert!(
            text(0x5003, 0, false)
                .starts_with("hmalloc: fault: 0x5003 is 3 bytes after the end of 0 used bytes at 0x5000")
        );
        assert!(text(0x4fff, 0, false).starts_with("hmalloc: fault: 0x4fff is 1 bytes before 0 used bytes"));
    }
}
