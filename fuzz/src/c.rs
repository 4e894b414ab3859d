//! The functions of `hmalloc.h`, on the real kernel: sizes, alignments, products that overflow, `errno`, wrong pointers under the
//! policy that ignores them.
//!
//! The process has one heap, so it is not new for each input: all blocks are freed at an input's end, and it is trimmed. A finding
//! that one input alone does not show again is shown by the inputs before it (`-runs` and the same `-seed`).

use crate::books::{Books, note};
use crate::input::{STEPS_MAX, align, below, size, which};
use arbitrary::{Result, Unstructured};
use hmalloc_fuzz_c as _;
use libc::{EINVAL, ENOMEM};
use std::alloc::Layout;
use std::ffi::{c_int, c_void};

unsafe extern "C" {
    fn hmalloc(size: usize) -> *mut c_void;
    fn hfree(block: *mut c_void);
    fn hcalloc(count: usize, size: usize) -> *mut c_void;
    fn hrealloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn hreallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void;
    fn haligned_alloc(alignment: usize, size: usize) -> *mut c_void;
    fn husable_size(block: *const c_void) -> usize;
    fn hmalloc_check() -> c_int;
    fn hmalloc_trim(keep: usize) -> usize;
    fn hmalloc_set_policy(policy: c_int) -> c_int;
}

/// `HMALLOC_IGNORE`.
const IGNORE: c_int = 1;
/// What `errno` is before each call: no function sets it to this.
const UNTOUCHED: c_int = 4711;
/// A request below this may not be refused.
const SERVED: usize = 16 << 20;

fn errno() -> c_int {
    // SAFETY: the thread's own.
    unsafe { *libc::__errno_location() }
}

fn prepare() {
    // SAFETY: the thread's own.
    unsafe { *libc::__errno_location() = UNTOUCHED }
}

fn pointer(address: usize) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address)
}

fn usable(address: usize) -> usize {
    // SAFETY: any address may be asked for.
    unsafe { husable_size(pointer(address)) }
}

/// One call.
#[derive(Debug)]
enum Step {
    Malloc(usize),
    Calloc(usize, usize),
    Aligned(usize, usize),
    Realloc(usize, usize),
    ReallocArray(usize, usize, usize),
    ReallocNull(usize),
    Free(usize),
    FreeMany(usize, usize, usize),
    FreeNull,
    Wrong(usize, usize),
    Trim(usize),
    Check,
}

fn step(input: &mut Unstructured<'_>) -> Result<Step> {
    let factor =
        |input: &mut Unstructured<'_>| Ok(if below(input, 16)? == 0 { usize::MAX / 3 } else { below(input, 9)? });
    let shift = |input: &mut Unstructured<'_>| Ok(align(input)? << below(input, 4)?);
    Ok(match below(input, 32)? {
        0..=6 => Step::Malloc(size(input)?),
        7..=9 => Step::Calloc(factor(input)?, size(input)?),
        10..=12 => Step::Aligned(if below(input, 8)? == 0 { which(input)? } else { shift(input)? }, size(input)?),
        13..=16 => Step::Realloc(which(input)?, size(input)?),
        17 => Step::ReallocArray(which(input)?, factor(input)?, size(input)?),
        18 => Step::ReallocNull(size(input)?),
        19..=25 => Step::Free(which(input)?),
        26 => Step::FreeMany(below(input, 200)?, 1 + below(input, 4)?, 1 + below(input, 256)?),
        27 => Step::FreeNull,
        28 | 29 => Step::Wrong(below(input, 8)?, which(input)?),
        30 => Step::Trim(below(input, 2)? * which(input)?),
        _ => Step::Check,
    })
}

/// What came of a request of `size` bytes, which may have overflowed.
fn judge(books: &mut Books, payload: *mut c_void, size: Option<usize>, align: usize, zeroed: bool) {
    if payload.is_null() {
        assert_eq!(errno(), ENOMEM);
        let small = size.is_some_and(|size| size < SERVED && align < SERVED);
        assert!(!small, "{size:?} bytes at {align} were refused");
        return;
    }
    assert_eq!(errno(), UNTOUCHED);
    let size = size.expect("a product that overflows is refused");
    let layout = Layout::from_size_align(size, align.max(16)).expect("the layout of what was served");
    books.enter(payload.cast(), layout, usable(payload.addr()), zeroed);
}

fn reallocated(books: &mut Books, at: usize, payload: *mut c_void, size: Option<usize>) {
    let block = books.live[&at];
    if payload.is_null() {
        assert_eq!(errno(), ENOMEM);
        assert!(size.is_none_or(|size| size >= SERVED), "{size:?} bytes were refused");
        return books.hide(at, &block);
    }
    assert_eq!(errno(), UNTOUCHED);
    let layout = Layout::from_size_align(size.expect("no overflow"), 16).expect("a layout");
    books.moved(at, payload.cast(), layout, usable(payload.addr()));
}

fn free(books: &mut Books, at: usize) {
    books.verify(at, &books.live[&at]);
    // SAFETY: the books do not use it any more.
    unsafe { hfree(pointer(at)) };
    books.free(at);
}

fn wrong(books: &Books, address: usize) {
    assert_eq!(usable(address), 0, "{address:#x}");
    // SAFETY: no live block starts there, so nothing happens.
    let moved = unsafe {
        hfree(pointer(address));
        assert_eq!(errno(), UNTOUCHED);
        hrealloc(pointer(address), 100)
    };
    assert!(moved.is_null() && errno() == EINVAL, "{address:#x} became {moved:?}");
    for (at, block) in &books.live {
        assert_eq!(usable(*at), block.usable, "{at:#x} after a wrong pointer");
    }
}

fn act(books: &mut Books, step: Step) {
    prepare();
    // SAFETY: the books go on with what comes back, and with nothing that they have freed.
    unsafe {
        match step {
            Step::Malloc(size) => judge(books, hmalloc(size), Some(size), 16, false),
            Step::Calloc(count, size) => judge(books, hcalloc(count, size), count.checked_mul(size), 16, true),
            Step::Aligned(align, size) if align.is_power_of_two() => {
                judge(books, haligned_alloc(align, size), Some(size), align, false);
            }
            Step::Aligned(align, size) => assert!(haligned_alloc(align, size).is_null() && errno() == EINVAL),
            Step::Realloc(which, size) => {
                let Some((at, block)) = books.nth(which) else { return };
                books.show(at, &block);
                reallocated(books, at, hrealloc(pointer(at), size), Some(size));
            }
            Step::ReallocArray(which, count, size) => {
                let Some((at, block)) = books.nth(which) else { return };
                books.show(at, &block);
                reallocated(books, at, hreallocarray(pointer(at), count, size), count.checked_mul(size));
            }
            Step::ReallocNull(size) => judge(books, hrealloc(std::ptr::null_mut(), size), Some(size), 16, false),
            Step::Free(which) => books.nth(which).into_iter().for_each(|(at, _)| free(books, at)),
            Step::FreeMany(first, step, count) => {
                let chosen: Vec<usize> = books.live.keys().copied().skip(first).step_by(step).take(count).collect();
                chosen.into_iter().for_each(|at| free(books, at));
            }
            Step::FreeNull => hfree(std::ptr::null_mut()),
            Step::Wrong(kind, number) => wrong(books, books.wrong(kind, number)),
            Step::Trim(keep) => _ = hmalloc_trim(keep),
            Step::Check => assert_eq!(hmalloc_check(), 0),
        }
    }
}

/// Runs one sequence. Panics with what was wrong.
pub fn run(input: &[u8]) {
    // SAFETY: there is such a policy.
    assert_eq!(unsafe { hmalloc_set_policy(IGNORE) }, 0);
    let mut input = Unstructured::new(input);
    let (mut books, mut steps) = (Books::default(), 0);
    while !input.is_empty() && steps < STEPS_MAX {
        let Ok(step) = step(&mut input) else { break };
        note(|| format!("{step:?}"));
        act(&mut books, step);
        steps += 1;
    }
    while let Some((at, _)) = books.nth(steps * 7) {
        steps += 1;
        free(&mut books, at);
    }
    // SAFETY: nothing is live.
    unsafe { (assert_eq!(hmalloc_check(), 0), hmalloc_trim(0)) };
}
