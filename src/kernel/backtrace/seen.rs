//! Stacks that are read as they were unwound before: the frames that are [kept](crate::kernel::frames), one after the other.

use super::{Frames, is_word};
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
                    // SAFETY: the caller's thread had a frame at `sp` before, from which the same call was under way, and its return
                    // address was at this place: so that is on the thread's stack. (Entries name a frame by 47 bits of a hash.)
                    ip = unsafe { with_exposed_provenance::<usize>(place).read_volatile() };
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

#[cfg(test)]
pub(super) mod tests {
    use core::sync::atomic::AtomicUsize;

    /// How many stacks were read.
    pub(in super::super) static READ: AtomicUsize = AtomicUsize::new(0);
}
