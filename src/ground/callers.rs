//! Where blocks were allocated and freed: for each slot two numbers, and behind each number a stack.
//!
//! ```text
//! beside each chunk of records              one mapping for the process, touched as far as it is used
//! +-----------+-----------+- - -+          +----------------------------+------------------------------+
//! | allocated | freed     |     |          | index: a hash leads to     | stacks: 12 frames each, with |
//! | at, 4 B   | at, 4 B   |     |          | a number                   | zeros behind the last        |
//! +-----------+-----------+- - -+          +----------------------------+------------------------------+
//!       '---- number ----------------------------------------------------------->
//! ```
//!
//! No lock is taken: a thread takes a number, writes its stack there, and enters the number in the index by one exchange. If two
//! enter the same stack at a time, one number is lost. Nothing is ever taken out.
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | `find`, exchange with Release | `find`, Acquire | a number leads to a stack that is not written yet |
//! | `note_allocated`, Release | `of_live`, Acquire | a block's old stack is taken for its new one |

use crate::ground::atomic::{Acquire, AtomicPtr, AtomicU32, AtomicUsize, Relaxed, Release};
use crate::ground::company::if_checked;
use crate::kernel::brk::map_alone;
use crate::kernel::line::Text;

/// The most frames of a stack. Of a heap that is not a library some six of them are its own.
pub(crate) const DEPTH: usize = 12;
/// How many stacks are told apart.
const STACKS: usize = 1 << 14;
/// Entries of the index: twice as many, so that a search is short.
const INDEX: usize = 2 * STACKS;
/// Nothing was noted.
const NOTHING: u32 = 0;
/// A stack that could not be seen, or for which there was no room.
pub(crate) const UNSEEN: u32 = 1;

/// A line with stacks in it.
pub(crate) type Long = Text<2048>;
/// Appends the stack behind a number to a line.
pub(crate) type Tell = fn(&mut Long, u32);

/// The numbers of one slot. All zeros: nothing was noted.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Callers {
    allocated: AtomicU32,
    /// [`NOTHING`] while the block is live and its allocation was noted.
    freed: AtomicU32,
}

impl Callers {
    /// Notes where the block was allocated. For its holder.
    pub(crate) fn note_allocated(&self, stack: u32) {
        self.allocated.store(stack, Relaxed);
        self.freed.store(NOTHING, Release);
    }

    /// Notes where it was freed. For the thread that has claimed it.
    pub(crate) fn note_freed(&self, stack: u32) {
        self.freed.store(stack, Relaxed);
    }

    /// What is known of a live block. Between its allocation and the note of it, nothing is.
    pub(crate) fn of_live(&self) -> [u32; 2] {
        if self.freed.load(Acquire) == NOTHING { [self.allocated.load(Relaxed), NOTHING] } else { [NOTHING; 2] }
    }

    /// What is known of a freed one.
    pub(crate) fn of_freed(&self) -> [u32; 2] {
        [self.allocated.load(Relaxed), self.freed.load(Relaxed)]
    }
}

/// The stacks of the process. All zeros: none.
pub(crate) struct Stacks {
    /// How many numbers were taken.
    taken: AtomicU32,
    index: [AtomicU32; INDEX],
    stacks: [[AtomicUsize; DEPTH]; STACKS],
}

static STACKS_OF_PROCESS: AtomicPtr<Stacks> = AtomicPtr::new(core::ptr::null_mut());
static TELL: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

impl core::fmt::Debug for Stacks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stacks").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Stacks {
    /// The process's table, which is made by the first call, if there is memory for it.
    pub(crate) fn make() -> Option<&'static Self> {
        if Self::get().is_none() {
            let made = core::ptr::with_exposed_provenance_mut::<Self>(map_alone(size_of::<Self>()).ok()?);
            // If another heap's is first, this one is never touched.
            let _ = STACKS_OF_PROCESS.compare_exchange(core::ptr::null_mut(), made, Release, Relaxed);
        }
        Self::get()
    }

    /// The process's table, if there is one.
    pub(crate) fn get() -> Option<&'static Self> {
        // SAFETY: null, or a mapping of that size, which began as zeros and stays.
        unsafe { STACKS_OF_PROCESS.load(Acquire).as_ref() }
    }

    /// The number of a stack, which is entered if it is new and there is room.
    pub(crate) fn find(&self, stack: &[usize]) -> u32 {
        let stack = stack.get(..DEPTH).unwrap_or(stack);
        if stack.is_empty() {
            return UNSEEN;
        }
        let (hash, mut mine) = (hash(stack), NOTHING);
        for place in (0..INDEX).map(|step| &self.index[hash.wrapping_add(step) % INDEX]) {
            let mut number = place.load(Acquire);
            if number == NOTHING {
                if mine == NOTHING {
                    let Some(entered) = self.write(stack) else { return UNSEEN };
                    mine = entered;
                }
                match place.compare_exchange(NOTHING, mine, Release, Acquire) {
                    Ok(_) => return mine,
                    Err(other) => number = other,
                }
            }
            if self.frames(number).eq(stack.iter().copied()) {
                return number;
            }
        }
        UNSEEN
    }

    /// Writes a stack at a number of its own, if one is left.
    fn write(&self, stack: &[usize]) -> Option<u32> {
        // Asked first, so that the count stays near the end: it passes that by one for each thread that asks at the same time.
        if self.taken.load(Relaxed) >= STACKS as u32 {
            return None;
        }
        let number = self.taken.fetch_add(1, Relaxed);
        let places = self.stacks.get(number as usize)?;
        places.iter().zip(stack).for_each(|(place, &frame)| place.store(frame, Relaxed));
        Some(number + UNSEEN + 1)
    }

    /// The return addresses of a stack, from the innermost on.
    pub(crate) fn frames(&self, number: u32) -> impl Iterator<Item = usize> {
        let stack = number.checked_sub(UNSEEN + 1).and_then(|at| self.stacks.get(at as usize));
        stack.into_iter().flatten().map(|frame| frame.load(Relaxed)).take_while(|&frame| frame != 0)
    }
}

fn hash(stack: &[usize]) -> usize {
    let mix = |hash: u64, &frame: &usize| {
        let mixed = (hash ^ frame as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 32
    };
    stack.iter().fold(stack.len() as u64, mix) as usize
}

/// Has stacks told in lines about misuse.
#[allow(dead_code, reason = "only where stacks can be told")]
pub(crate) fn tell_by(tell: Tell) {
    TELL.store(tell as *mut (), Release);
}

/// How stacks are told, if they are noted.
pub(crate) fn teller() -> Option<Tell> {
    let tell = TELL.load(Acquire);
    // SAFETY: stored by `tell_by`.
    if_checked((!tell.is_null()).then(|| unsafe { core::mem::transmute::<*mut (), Tell>(tell) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{Layout, alloc_zeroed};
    use std::boxed::Box;
    use std::vec::Vec;

    fn table() -> Box<Stacks> {
        // SAFETY: not 0 bytes; zeros are a table.
        unsafe { Box::from_raw(alloc_zeroed(Layout::new::<Stacks>()).cast::<Stacks>()) }
    }

    #[test]
    fn a_stack_has_one_number() {
        let table = table();
        let [first, second] = [[1, 2, 3], [3, 2, 1]].map(|stack| table.find(&stack));
        assert!(first > UNSEEN && second > UNSEEN && first != second);
        assert_eq!((table.find(&[1, 2, 3]), table.find(&[])), (first, UNSEEN));
        assert_eq!(table.frames(first).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(table.frames(table.find(&[7; DEPTH + 3])).count(), DEPTH);
        assert!(table.frames(NOTHING).chain(table.frames(UNSEEN)).next().is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "it fills a table of some MiB")]
    fn threads_agree_on_numbers_and_a_full_table_keeps_what_it_has() {
        let table = table();
        let all = |table: &Stacks| (0..STACKS + 50).map(|at| table.find(&[at + 1, 7])).collect::<Vec<_>>();
        let found = std::thread::scope(|scope| {
            let [one, two] = [0; 2].map(|_| scope.spawn(|| all(&table)));
            [one, two].map(|thread| thread.join().expect("no panic"))
        });
        let both = found[0].iter().zip(&found[1]).filter(|(one, two)| one != two).collect::<Vec<_>>();
        assert!(both.iter().all(|&(&one, &two)| one == UNSEEN || two == UNSEEN), "{both:?}");
        let full = all(&table);
        assert!(full.iter().enumerate().all(|(at, &number)| number == UNSEEN || table.frames(number).eq([at + 1, 7])));
        assert!(full.iter().filter(|&&number| number == UNSEEN).count() >= 50);
    }

    #[test]
    fn a_block_is_never_shown_with_an_older_ones_stack() {
        let callers = Callers { allocated: AtomicU32::new(0), freed: AtomicU32::new(0) };
        callers.note_allocated(5);
        assert_eq!(callers.of_live(), [5, NOTHING]);
        callers.note_freed(6);
        assert_eq!((callers.of_freed(), callers.of_live()), ([5, 6], [NOTHING; 2]));
        callers.note_allocated(7);
        assert_eq!(callers.of_live(), [7, NOTHING]);
    }
}
