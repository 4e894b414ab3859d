//! The public signatures, as code outside the crate relies on them, and what each does at its simplest.

use hmalloc::brk::{Brk, Emulated, Linux, Refused};
use hmalloc::{
    Block, BlockState, Blocks, Corruption, Heap, Hmalloc, Misuse, MisuseKind, OutOfMemory, PAGE, Policy, ResizeError,
    SingleThreaded, SpanInfo, SpanInfos, SpanKind, Stats,
};
use std::alloc::{GlobalAlloc, Layout};
use std::error::Error;
use std::fmt::{Debug, Display};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

type H<'a> = Heap<Emulated<'a>>;
type Resized = Result<NonNull<u8>, ResizeError>;

static HEAP: Hmalloc = Hmalloc::new();
static POLITE: Hmalloc = Hmalloc::with_policy(Policy::Report);
// SAFETY: this heap serves nothing, from any thread.
static ALONE: Hmalloc<SingleThreaded> = unsafe { Hmalloc::<SingleThreaded>::single_threaded() };
#[expect(clippy::declare_interior_mutable_const, reason = "that it can be a constant is the promise")]
const UNTOUCHED: Heap<Linux> = Heap::new(Linux);

/// Compiles when every method has the signature that callers expect.
#[test]
fn signatures() {
    let _: fn(&mut H<'static>, Layout) -> Result<NonNull<u8>, OutOfMemory> = H::allocate;
    let _: fn(&mut H<'static>, Layout) -> Result<NonNull<u8>, OutOfMemory> = H::allocate_zeroed;
    let _: unsafe fn(&mut H<'static>, *mut u8) -> Result<(), Misuse> = H::free;
    let _: unsafe fn(&mut H<'static>, *mut u8, Layout) -> Result<(), Misuse> = H::free_sized;
    let _: unsafe fn(&mut H<'static>, *mut u8, Layout) -> Resized = H::resize;
    let _: unsafe fn(&mut H<'static>, *mut u8, Layout, Layout) -> Resized = H::resize_sized;
    let _: fn(&H<'static>, *const u8) -> Result<usize, Misuse> = H::usable_size;
    let _: for<'h> fn(&'h H<'static>) -> Blocks<'h> = |heap| heap.blocks();
    let _: for<'h> fn(&'h H<'static>) -> SpanInfos<'h> = |heap| heap.spans();
    let _: fn(&H<'static>) -> Result<(), Corruption> = H::check;
    let _: fn(&H<'static>) -> Stats = H::stats;
    let _: fn(&mut H<'static>, usize) -> usize = H::trim;
    let _: for<'h> fn(&'h H<'static>) -> &'h Emulated<'static> = |heap| heap.brk();
    let _: for<'h> fn(&'h mut H<'static>) -> &'h mut Emulated<'static> = |heap| heap.brk_mut();
    let _: fn(&Hmalloc) -> Stats = Hmalloc::stats;
    let _: fn(&Hmalloc) -> Result<(), Corruption> = Hmalloc::check;
    let _: fn(&Hmalloc, usize) -> usize = Hmalloc::trim;
    let _: fn(&'static mut [MaybeUninit<u8>]) -> Emulated<'static> = Emulated::new;
    let _: fn(&mut Emulated<'static>, usize) = Emulated::fail_after;
    let _: fn(&mut Emulated<'static>, isize) = Emulated::foreign_move;
    let _: fn(&mut Emulated<'static>, bool) = Emulated::refuse_lowering;
    let _: fn(&Emulated<'static>) -> usize = Emulated::calls;
    let _: fn(&Emulated<'static>) -> usize = Emulated::current;
}

fn is_data<T: Debug + Clone + Copy + PartialEq + Eq + Send + Sync + 'static>() {}
fn is_error<T: Error + Display + Debug + Clone + Copy + PartialEq + Eq + Send + Sync + 'static>() {}
fn is_global<T: GlobalAlloc + Sync + Send>(_: &T) {}
fn is_send<T: Send>() {}

#[test]
fn data_is_plain_and_errors_are_errors() {
    is_data::<Block>();
    is_data::<BlockState>();
    is_data::<MisuseKind>();
    is_data::<Stats>();
    is_data::<Policy>();
    is_data::<SpanInfo>();
    is_data::<SpanKind>();
    is_error::<Misuse>();
    is_error::<OutOfMemory>();
    is_error::<ResizeError>();
    is_error::<Corruption>();
    is_error::<Refused>();
    is_send::<Heap<Linux>>();
    is_send::<H<'static>>();
    is_global(&HEAP);
    is_global(&ALONE);
    assert!(PAGE.is_power_of_two());
}

#[test]
#[cfg_attr(miri, ignore = "makes system calls")]
fn heaps_that_serve_nothing_are_empty() {
    for heap in [&HEAP, &POLITE] {
        let stats = heap.stats();
        assert_eq!((stats.live_blocks, stats.live_bytes, stats.heap_bytes), (0, 0, 0));
        assert_eq!((stats.peak_heap_bytes, stats.brk_calls), (0, 0));
        assert_eq!(heap.check(), Ok(()));
        assert_eq!(heap.trim(0), 0);
        assert_eq!(heap.inspect(|heap| heap.blocks().count()), 0);
    }
    assert_eq!(ALONE.check(), Ok(()));
    let heap = UNTOUCHED;
    assert_eq!((heap.blocks().count(), heap.spans().count(), heap.check()), (0, 0, Ok(())));
    assert_eq!(heap.brk().page_size(), Linux.page_size());
}

/// A heap in an arena, and what a caller does with it.
fn with_heap(act: impl FnOnce(&mut H<'_>)) {
    let mut arena = Box::new_uninit_slice(1 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    act(&mut heap);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn a_block_is_allocated_and_seen_and_freed() {
    with_heap(|heap| {
        let payload = heap.allocate(Layout::new::<[u64; 5]>()).expect("room");
        let usable = heap.usable_size(payload.as_ptr()).expect("a payload");
        assert!(usable >= 40);
        let used: Vec<Block> = heap.blocks().filter(|block| block.state == BlockState::Used).collect();
        assert_eq!(used, [Block { address: payload.addr().get(), size: usable, state: BlockState::Used }]);
        assert_eq!((heap.stats().live_blocks, heap.stats().live_bytes), (1, usable));
        // SAFETY: the payload is live, and not used after it.
        assert_eq!(unsafe { heap.free(payload.as_ptr()) }, Ok(()));
        assert_eq!((heap.stats().live_blocks, heap.stats().live_bytes), (0, 0));
        assert_eq!(heap.blocks().filter(|block| block.state == BlockState::Used).count(), 0);
    });
}

#[test]
fn resizing_keeps_the_contents() {
    with_heap(|heap| {
        let payload = heap.allocate_zeroed(Layout::new::<[u8; 40]>()).expect("room");
        // SAFETY: the payload is live; it is replaced by the one that comes back, whose first bytes are those written.
        unsafe {
            payload.write_bytes(7, 40);
            let moved = heap.resize(payload.as_ptr(), Layout::new::<[u8; 50_000]>()).expect("room");
            assert_eq!(std::slice::from_raw_parts(moved.as_ptr(), 40), [7; 40]);
            let shrunk = heap.resize(moved.as_ptr(), Layout::new::<[u8; 10]>()).expect("room");
            assert_eq!(std::slice::from_raw_parts(shrunk.as_ptr(), 10), [7; 10]);
            assert_eq!(heap.free(shrunk.as_ptr()), Ok(()));
        }
    });
}

#[test]
fn each_misuse_has_its_kind_and_says_so() {
    with_heap(|heap| {
        let live = heap.allocate(Layout::new::<[u8; 100]>()).expect("room").as_ptr();
        let gone = heap.allocate(Layout::new::<[u8; 100]>()).expect("room").as_ptr();
        let wild = std::ptr::without_provenance_mut::<u8>(0xDEAD_BEE0);
        // SAFETY: `gone` is not used again as a payload; all others are refused.
        unsafe {
            assert_eq!(heap.free(gone), Ok(()));
            let answers = [
                heap.free(std::ptr::null_mut()),
                heap.free(wild),
                heap.free(live.wrapping_add(1)),
                heap.free(live.wrapping_add(16)),
                heap.free(gone),
                heap.free_sized(live, Layout::new::<[u8; 1000]>()),
            ];
            let kinds: Vec<MisuseKind> = answers.iter().map(|answer| answer.expect_err("a misuse").kind).collect();
            use MisuseKind::*;
            assert_eq!(kinds, [OutsideHeap, OutsideHeap, Misaligned, NotABlock, AlreadyFree, WrongLayout]);
            let texts: Vec<String> = answers.iter().map(|answer| answer.expect_err("a misuse").to_string()).collect();
            for (index, text) in texts.iter().enumerate() {
                assert!(!text.is_empty() && !texts[..index].contains(text), "{texts:?}");
            }
            let interior = answers[3].expect_err("a misuse");
            let size = heap.usable_size(live).expect("a payload");
            assert_eq!(interior.found, Some(Block { address: live.addr(), size, state: BlockState::Used }));
            assert!(texts[3].contains(&format!("{:x}", live.addr() + 16)), "{} names no address", texts[3]);
            let resized = heap.resize(wild, Layout::new::<u8>()).expect_err("a misuse");
            assert!(matches!(resized, ResizeError::Misuse(misuse) if misuse.kind == OutsideHeap));
            assert_eq!(heap.usable_size(gone).expect_err("a misuse").kind, AlreadyFree);
            assert_eq!(heap.free_sized(live, Layout::new::<[u8; 100]>()), Ok(()));
        }
    });
}

#[test]
fn running_out_is_an_answer() {
    with_heap(|heap| {
        let payload = heap.allocate(Layout::new::<u64>()).expect("room");
        let large = Layout::from_size_align(2 << 20, 8).expect("a layout");
        assert_eq!(heap.allocate(large), Err(OutOfMemory));
        assert_eq!(heap.allocate_zeroed(large), Err(OutOfMemory));
        // SAFETY: the payload is live before and after.
        assert_eq!(unsafe { heap.resize(payload.as_ptr(), large) }, Err(ResizeError::OutOfMemory));
        assert!(heap.usable_size(payload.as_ptr()).is_ok());
        assert!(!OutOfMemory.to_string().is_empty());
        assert!(!ResizeError::OutOfMemory.to_string().is_empty());
    });
}

#[test]
fn corruption_names_its_invariant() {
    let corruption = Corruption { invariant: 7, address: 0x1234 };
    assert!(corruption.to_string().contains("I7"), "{corruption}");
}

/// The drawing in `src/README.md` shows a real heap.
#[test]
fn the_heap_that_is_drawn_in_bytes() {
    let mut arena = Box::new_uninit_slice(1 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    for size in [16, 64, 60_000] {
        heap.allocate(Layout::from_size_align(size, 8).unwrap()).unwrap();
    }
    let pages: Vec<_> = heap.spans().map(|span| span.bytes / hmalloc::PAGE).collect();
    assert_eq!(pages, [1, 1, 1, 4, 10]);
}
