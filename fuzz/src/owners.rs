//! A `Hmalloc` whose slabs have several owners: two handles, and the calling thread. Each of them frees and resizes what the
//! others have allocated, so frees go through the words, notes and inboxes that threads share; in one thread, so that a finding
//! is the same each time.

use crate::asan::POISON;
use crate::books::{Books, note};
use crate::input::{STEPS_MAX, below, layout, which};
use arbitrary::{Result, Unstructured};
use hmalloc::{Futex, Hmalloc, Misuse, MisuseKind, OutOfMemory, Policy, ResizeError, ThreadHeap};
use std::alloc::Layout;
use std::cell::RefCell;
use std::ptr::NonNull;
use support::arena::Arena;
use support::hooked::Hooked;

/// Bytes of the arena; a half of it is for mappings, which hold what the tiers themselves need.
const ARENA: usize = 12 << 20;

thread_local! {
    static MEMORY: RefCell<Arena> = RefCell::new(Arena::new(ARENA));
}

type Shared<'a> = Hmalloc<Futex, Hooked<'a>>;
type Handle<'h, 'a> = ThreadHeap<'h, Futex, Hooked<'a>>;

/// Three ways into one heap.
struct Doors<'h, 'a> {
    heap: &'h Shared<'a>,
    handles: [Option<Handle<'h, 'a>>; 2],
}

impl<'h, 'a> Doors<'h, 'a> {
    fn handle(&self, door: usize) -> Option<&Handle<'h, 'a>> {
        self.handles.get(door % 3)?.as_ref()
    }

    fn allocate(&self, door: usize, layout: Layout, zeroed: bool) -> std::result::Result<NonNull<u8>, OutOfMemory> {
        match (self.handle(door), zeroed) {
            (Some(handle), false) => handle.allocate(layout),
            (Some(handle), true) => handle.allocate_zeroed(layout),
            (None, false) => self.heap.allocate(layout),
            (None, true) => self.heap.allocate_zeroed(layout),
        }
    }

    fn free(&self, door: usize, address: usize) -> std::result::Result<(), Misuse> {
        let payload = std::ptr::with_exposed_provenance_mut(address);
        let mut answer = Ok(());
        // SAFETY: the books do not use a block that they free; anything else is refused.
        unsafe {
            match self.handle(door) {
                Some(handle) => answer = handle.free(payload),
                None => self.heap.free(payload, |misuse| answer = Err(*misuse)),
            }
        }
        answer
    }

    fn free_sized(&self, door: usize, address: usize, layout: Layout) -> std::result::Result<(), Misuse> {
        let payload = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: as for `free`.
        unsafe {
            match self.handle(door) {
                Some(handle) => handle.free_sized(payload, layout),
                None => self.heap.free_sized(payload, layout),
            }
        }
    }

    fn resize(&self, door: usize, address: usize, new: Layout) -> std::result::Result<NonNull<u8>, ResizeError> {
        let payload = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the books go on with the block that comes back.
        unsafe {
            match self.handle(door) {
                Some(handle) => handle.resize(payload, new),
                None => self.heap.resize(payload, new),
            }
        }
    }

    fn usable(&self, door: usize, address: usize) -> std::result::Result<usize, Misuse> {
        let payload = std::ptr::without_provenance(address);
        match self.handle(door) {
            Some(handle) => handle.usable_size(payload),
            None => self.heap.usable_size(payload),
        }
    }
}

/// One call.
#[derive(Debug)]
enum Step {
    Allocate(Layout, bool),
    Burst(usize, Layout),
    Free(usize),
    FreeSized(usize),
    FreeMany(usize, usize, usize),
    Resize(usize, Layout),
    Wrong(usize, usize),
    Renew,
    Trim(usize),
    Look,
    RefuseRaises(usize),
    LiftRefusals,
    Clock(u64),
}

fn step(input: &mut Unstructured<'_>) -> Result<Step> {
    Ok(match below(input, 32)? {
        0..=6 => Step::Allocate(layout(input)?, input.arbitrary()?),
        7 | 8 => Step::Burst(1 + below(input, 70)?, layout(input)?),
        9..=14 => Step::Free(which(input)?),
        15 | 16 => Step::FreeSized(which(input)?),
        17 => Step::FreeMany(below(input, 200)?, 1 + below(input, 4)?, 1 + below(input, 256)?),
        18..=20 => Step::Resize(which(input)?, layout(input)?),
        21..=24 => Step::Wrong(below(input, 8)?, which(input)?),
        25 => Step::Renew,
        26 => Step::Trim(below(input, 2)? * which(input)? * 16),
        27 => Step::Look,
        28 => Step::RefuseRaises(below(input, 3)?),
        29 | 30 => Step::LiftRefusals,
        _ => Step::Clock(which(input)? as u64 / 13),
    })
}

fn allocate(doors: &Doors<'_, '_>, books: &mut Books, door: usize, layout: Layout, zeroed: bool) {
    let Ok(payload) = doors.allocate(door, layout, zeroed) else { return };
    let usable = doors.usable(door + 1, payload.addr().get()).expect("a new block is live");
    books.enter(payload.as_ptr(), layout, usable, zeroed);
}

fn free(doors: &Doors<'_, '_>, books: &mut Books, door: usize, at: usize) {
    books.verify(at, &books.live[&at]);
    assert_eq!(doors.free(door, at), Ok(()), "{at:#x}");
    books.free(at);
}

fn resize(doors: &Doors<'_, '_>, books: &mut Books, door: usize, which: usize, new: Layout) {
    let Some((at, block)) = books.nth(which) else { return };
    books.show(at, &block);
    match doors.resize(door, at, new) {
        Ok(to) => {
            let usable = doors.usable(door + 1, to.addr().get()).expect("a moved block is live");
            books.moved(at, to.as_ptr(), new, usable);
        }
        Err(ResizeError::OutOfMemory) => books.hide(at, &block),
        Err(ResizeError::Misuse(misuse)) => panic!("cannot resize {at:#x}: {misuse:x?}"),
    }
}

fn free_sized(doors: &Doors<'_, '_>, books: &mut Books, door: usize, which: usize) {
    let Some((at, block)) = books.nth(which) else { return };
    books.verify(at, &block);
    let larger = Layout::from_size_align(block.usable + 1, 1).expect("a size");
    let answer = doors.free_sized(door, at, larger);
    assert!(answer.is_err_and(|misuse| misuse.kind == MisuseKind::WrongLayout), "{at:#x} as {larger:?}: {answer:x?}");
    assert_eq!(doors.free_sized(door, at, block.layout), Ok(()), "{at:#x} as {:?}", block.layout);
    books.free(at);
}

/// Each entry names the same mistake.
fn wrong(doors: &Doors<'_, '_>, books: &Books, door: usize, address: usize, arena: std::ops::Range<usize>) {
    let layout = Layout::new::<u64>();
    let answers = [
        doors.usable(door, address).err(),
        doors.free(door, address).err(),
        doors.free_sized(door, address, layout).err(),
        doors.resize(door, address, layout).err().and_then(|error| match error {
            ResizeError::Misuse(misuse) => Some(misuse),
            ResizeError::OutOfMemory => None,
        }),
    ];
    for answer in answers {
        let misuse = answer.unwrap_or_else(|| panic!("{address:#x} was accepted: {answers:x?}"));
        assert_eq!(misuse.address, address);
        let expected = match books.around(address) {
            _ if !arena.contains(&address) => MisuseKind::OutsideHeap,
            Some((at, block)) => {
                let found = misuse.found.expect("the block around it");
                assert_eq!((found.address, found.size), (at, block.usable), "{misuse:x?}");
                if address.is_multiple_of(16) { MisuseKind::NotABlock } else { MisuseKind::Misaligned }
            }
            None => misuse.kind,
        };
        assert_eq!(misuse.kind, expected, "{misuse:x?}");
    }
    for (at, block) in &books.live {
        assert_eq!(doors.usable(door, *at), Ok(block.usable), "{at:#x} after a wrong pointer");
    }
}

fn look(doors: &Doors<'_, '_>, books: &Books) {
    assert_eq!(doors.heap.check(), Ok(()));
    let stats = doors.heap.stats();
    assert_eq!(stats.live_blocks, books.live.len(), "{stats:?}");
    assert_eq!(stats.live_bytes, books.live.values().map(|block| block.usable).sum::<usize>(), "{stats:?}");
}

fn act<'h, 'a>(doors: &mut Doors<'h, 'a>, books: &mut Books, door: usize, step: Step, arena: std::ops::Range<usize>) {
    match step {
        Step::Allocate(layout, zeroed) => allocate(doors, books, door, layout, zeroed),
        Step::Burst(count, layout) => (0..count).for_each(|_| allocate(doors, books, door, layout, false)),
        Step::Free(which) => books.nth(which).into_iter().for_each(|(at, _)| free(doors, books, door, at)),
        Step::FreeSized(which) => free_sized(doors, books, door, which),
        Step::FreeMany(first, step, count) => {
            let chosen: Vec<usize> = books.live.keys().copied().skip(first).step_by(step).take(count).collect();
            chosen.into_iter().for_each(|at| free(doors, books, door, at));
        }
        Step::Resize(which, new) => resize(doors, books, door, which, new),
        Step::Wrong(kind, number) => wrong(doors, books, door, books.wrong(kind, number), arena),
        Step::Renew => {
            let heap = doors.heap;
            if let Some(handle) = doors.handles.get_mut(door) {
                // What the old one holds is left to the new one.
                *handle = None;
                *handle = Some(heap.thread());
            }
        }
        Step::Trim(keep) => drop(doors.heap.trim(keep)),
        Step::Look => look(doors, books),
        Step::RefuseRaises(after) => doors.heap.with(|heap| heap.brk_mut().fail_after(after)),
        Step::LiftRefusals => doors.heap.with(|heap| heap.brk_mut().fail_after(usize::MAX)),
        Step::Clock(milliseconds) => doors.heap.with(|heap| {
            let now = hmalloc::brk::Brk::now(heap.brk()).unwrap_or(0);
            heap.brk_mut().set_clock(now + milliseconds);
        }),
    }
}

/// Runs one sequence. Panics with what was wrong.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    MEMORY.with_borrow_mut(|memory| {
        let arena = memory.start()..memory.end();
        (POISON.show)(arena.start, arena.len());
        let mut brk = Hooked::new(memory.brk());
        brk.veil = POISON;
        brk.allow_mappings(ARENA / 2);
        brk.allow_discard(true);
        let heap = Hmalloc::with_source_and_policy(brk, Policy::Ignore);
        let mut doors = Doors { heap: &heap, handles: [Some(heap.thread()), Some(heap.thread())] };
        let (mut books, mut steps) = (Books::default(), 0);
        while !input.is_empty() && steps < STEPS_MAX {
            let (Ok(door), Ok(step)) = (below(&mut input, 3), step(&mut input)) else { break };
            note(|| format!("door {door}: {step:?}"));
            act(&mut doors, &mut books, door, step, arena.clone());
            steps += 1;
        }
        look(&doors, &books);
        while let Some((at, _)) = books.nth(steps * 7) {
            steps += 1;
            free(&doors, &mut books, steps % 3, at);
        }
        look(&doors, &books);
    });
}
