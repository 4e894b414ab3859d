//! Stacks that are read as they were unwound before: the frames that are [kept](crate::kernel::frames), one after the other.

use super::{Frames, is_word, read_bytes};
use crate::kernel::frames::{Next, keep, next};
use crate::kernel::{seat, tasks};
use core::ptr::with_exposed_provenance;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// In place of the address in [`capture`](super::capture), from where on stacks are walked.
const HERE: usize = 1;
/// That address, once an unwinder has told it, or 0.
static FIRST: AtomicUsize = AtomicUsize::new(0);

/// Where a walk began, and how far it is.
pub(super) struct Seen {
    thread: usize,
    /// Stack pointer of the function that walks, and of the last frame. 0 if nothing is kept.
    begin: usize,
    sp: usize,
    /// Address in the last frame, 0 before the first.
    ip: usize,
    /// Whether the kernel was asked if the call that reads memory may be forbidden, and it is not.
    may_read: bool,
}

impl Seen {
    pub(super) fn new(sp: usize) -> Self {
        let thread = seat::this_thread();
        // A thread that nothing tells from others may have another's stack next time.
        let begin = if thread == 0 { 0 } else { sp };
        Self { thread, begin, sp: begin, ip: 0, may_read: false }
    }

    /// Writes the stack to `into` if all its frames are kept, and says how many there are.
    pub(super) fn read(&self, into: &mut [usize]) -> Option<usize> {
        let count = self.read_kept(into)?;
        #[cfg(test)]
        tests::READ.fetch_add(1, Relaxed);
        Some(count)
    }

    fn read_kept(&self, into: &mut [usize]) -> Option<usize> {
        let first = FIRST.load(Relaxed);
        if self.begin == 0 || first == 0 {
            return None;
        }
        let mut frames = Frames::new(into);
        frames.add(first);
        let (mut ip, mut sp) = (HERE, self.begin);
        loop {
            match next(self.thread, ip, sp)? {
                Next::End => return Some(frames.count),
                Next::At(place) => {
                    ip = word_at(place, sp)?;
                    sp = place + size_of::<usize>();
                }
            }
            if !frames.add(ip) || frames.is_full() {
                return Some(frames.count);
            }
        }
    }

    /// Keeps what follows the last frame: this one, whose stack pointer is `sp`.
    pub(super) fn frame(&mut self, ip: usize, sp: usize) {
        if self.begin == 0 {
            return;
        }
        if self.ip == 0 {
            return self.first(ip, sp);
        }
        if ip == 0 {
            // Some unwinders tell of the end as of a frame.
            self.end(false);
            self.begin = 0;
            return;
        }
        let place = sp.wrapping_sub(size_of::<usize>());
        // Below a frame that a signal has interrupted stands no return address, and there need not be memory.
        let follows = Next::At(place);
        if next(self.thread, self.ip, self.sp) != Some(follows) && place > self.sp {
            if !core::mem::replace(&mut self.may_read, true) && tasks::is_filtered() {
                self.begin = 0;
                return;
            }
            if is_word(place, ip) {
                keep(self.thread, self.ip, self.sp, follows);
            }
        }
        (self.ip, self.sp) = (ip, sp);
    }

    /// Begins with the frame of [`capture`](super::capture).
    fn first(&mut self, ip: usize, sp: usize) {
        if sp != self.begin {
            // Another function than was thought.
            self.begin = 0;
            return;
        }
        FIRST.store(ip, Relaxed);
        self.ip = HERE;
    }

    /// Keeps that nothing follows the last frame, unless there was only no room for more.
    pub(super) fn end(&self, full: bool) {
        if self.begin != 0 && self.ip != 0 && !full {
            keep(self.thread, self.ip, self.sp, Next::End);
        }
    }
}

/// The word at `place`, if it can be read, on a stack of which what lies right below `sp` can.
///
/// A frame that is kept may be of another stack, which was at the same addresses and went on where this one ends: so a page in which
/// nothing was read yet is the kernel's to read.
fn word_at(place: usize, sp: usize) -> Option<usize> {
    /// Bytes of the smallest page that a kernel has.
    const LEAST: usize = 4096;
    if place / LEAST != (sp - 1) / LEAST {
        let mut word = [0; size_of::<usize>()];
        let is_there = !tasks::is_filtered() && read_bytes(place, &mut word);
        return is_there.then(|| usize::from_ne_bytes(word));
    }
    // SAFETY: in this page lies what is right below `sp`: memory of the caller's function, or a word that was read just now.
    Some(unsafe { with_exposed_provenance::<usize>(place).read_volatile() })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernel::brk::{map_alone, unmap_alone};

    /// How many stacks were read.
    pub(in super::super) static READ: AtomicUsize = AtomicUsize::new(0);

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter makes no system calls")]
    fn a_stack_that_ends_before_a_kept_frame_does_is_not_read_beyond() {
        seat::use_thread_pointers();
        let stack = map_alone(1 << 14).expect("memory");
        // SAFETY: nothing uses it.
        unsafe { unmap_alone(stack + (1 << 13), 1 << 13) };
        let sp = stack + (1 << 12) + 64;
        FIRST.store(1, Relaxed);
        let seen = Seen::new(sp);
        assert_ne!(seen.begin, 0, "threads are told apart");
        let mut into = [0; 4];
        for (place, read) in [(sp + 64, Some(0)), (stack + (1 << 13) - 8, Some(0)), (stack + (1 << 13) + 8, None)] {
            keep(seen.thread, HERE, sp, Next::At(place));
            assert_eq!(word_at(place, sp), read);
            keep(seen.thread, 0, place + 8, Next::End);
            assert_eq!(seen.read(&mut into).is_some(), read.is_some());
        }
    }
}
