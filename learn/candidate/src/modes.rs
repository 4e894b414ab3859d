//! What the program can be asked to do with a heap.

use crate::{heaps, words};
use core::mem::MaybeUninit;
use core::slice;
use hmalloc::brk::{Brk, Emulated, Linux, OwnBreak};
use hmalloc_runtime::syscalls::{Sysno, syscall};
use hmalloc_runtime::{Output, STDIN, STDOUT, exit, say};
use learn_heap::{Heap, Replayed, Step};

/// Bytes of the array under the break of a script.
const ARENA: usize = 1 << 20;
/// Processor time after which a heap that does not answer is ended, by SIGPROF. A script takes a twentieth of that.
const OF_SCRIPT: usize = 40_000;
/// The same, in seconds, for what other machines run, too, under an emulator.
const SECONDS_OF_OTHERS: usize = 1;
/// The same for a trace, which some heaps walk through slowly, and here and there under valgrind.
const SECONDS_OF_TRACE: usize = 20;
/// What only waits takes no processor time: it is ended by SIGALRM. The machine may be busy, so this is long.
const SECONDS_OF_WAITING: usize = 60;
/// More bytes than any script or trace here has.
const INPUT: usize = 4 << 20;

/// Ends the process if it takes too much processor time, or waits too long.
pub(crate) fn limit_time(mode: &str) {
    const ITIMER_REAL: usize = 0;
    const ITIMER_PROF: usize = 2;
    let work = match mode {
        "trace" => (SECONDS_OF_TRACE, 0),
        "play" | "slab" => (0, OF_SCRIPT),
        _ => (SECONDS_OF_OTHERS, 0),
    };
    for (clock, (seconds, microseconds)) in [(ITIMER_PROF, work), (ITIMER_REAL, (SECONDS_OF_WAITING, 0))] {
        let timer = [0usize, 0, seconds, microseconds];
        // SAFETY: the kernel reads four words.
        let _ = unsafe { syscall!(Sysno::setitimer, clock, timer.as_ptr(), 0) };
    }
}

/// Mapped memory, which lasts as long as the process.
fn mapped(bytes: usize) -> &'static mut [u8] {
    let Ok(start) = Linux.map(bytes) else {
        say(format_args!("there is no memory for the array under the break\n"));
        exit(2)
    };
    // SAFETY: the mapping is fresh, zero and nobody else's.
    unsafe { slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(start), bytes) }
}

/// All of standard input.
fn input() -> &'static [u8] {
    let bytes = mapped(INPUT);
    let mut filled = 0;
    while let Ok(count @ 1..) = STDIN.read(&mut bytes[filled..]) {
        filled += count;
    }
    &bytes[..filled]
}

/// An array for an emulated break.
fn arena() -> &'static mut [MaybeUninit<u8>] {
    let bytes = mapped(ARENA);
    // SAFETY: the same bytes, of which no one is read before it is written.
    unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), ARENA) }
}

/// Does what `mode` says, and returns the status.
pub(crate) fn run(heap: &str, mode: &str, more: &str) -> i32 {
    let mut output = Output::new(STDOUT);
    let make = |brk: Emulated<'_>, play: &mut dyn FnMut(&mut dyn Heap)| heaps::with(heap, brk, play);
    let script = || core::str::from_utf8(input()).unwrap_or_default();
    let done = match mode {
        "play" | "draw" => learn_heap::play(&make, arena(), script(), mode == "draw", &mut output, heaps::flush),
        "slab" => heaps::play_on_slab(heap, script(), &mut output),
        "words" => words::use_all(&make, arena(), &mut output),
        "trace" => return trace(heap, more == "0"),
        test => {
            tests(heap, test, more);
            Ok(())
        }
    };
    i32::from(done.is_err() || output.flush().is_err())
}

/// The tests `file` on a heap: each gets a fresh one. `only` names one of them.
fn tests(heap: &str, file: &str, only: &str) {
    let bytes = arena();
    for (name, test) in heaps::tests(file).iter().filter(|(name, _)| only.is_empty() || *name == only) {
        say(format_args!("test {name}\n"));
        heaps::with(heap, Emulated::new(bytes), &mut |heap| test(heap));
    }
    say(format_args!("test end\n"));
}

/// A heap under a trace.
struct Traced<'h> {
    heap: &'h mut dyn Heap,
    start: usize,
}

impl Replayed for Traced<'_> {
    fn malloc(&mut self, size: usize) -> *mut u8 {
        self.heap.malloc(size)
    }

    fn free(&mut self, payload: *mut u8) {
        self.heap.free(payload);
    }

    fn realloc(&mut self, payload: *mut u8, old: usize, size: usize) -> *mut u8 {
        if self.heap.can_realloc() {
            return self.heap.realloc(payload, size);
        }
        let fresh = self.heap.malloc(size);
        if !fresh.is_null() {
            // SAFETY: both blocks have as many bytes.
            unsafe { fresh.copy_from(payload, old.min(size)) };
            self.heap.free(payload);
        }
        fresh
    }

    fn held(&mut self) -> usize {
        self.heap.current_break() - self.start
    }
}

/// The steps on standard input, on a break of the heap's own; or none of them, which costs what is not the heap's.
fn trace(heap: &str, none: bool) -> i32 {
    let bytes = input();
    // SAFETY: the mapping is aligned to a page, and any bits are a step.
    let steps = unsafe { slice::from_raw_parts(bytes.as_ptr().cast::<Step>(), bytes.len() / size_of::<Step>()) };
    let places = steps.len() * size_of::<*mut u8>();
    // SAFETY: zeros are null pointers.
    let blocks =
        unsafe { slice::from_raw_parts_mut(mapped(places + 4096).as_mut_ptr().cast::<*mut u8>(), steps.len()) };
    let mut status = 0;
    heaps::with(heap, OwnBreak::new(), &mut |heap| {
        let start = heap.current_break();
        let steps = if none { &[] } else { steps };
        let mut output = Output::new(STDOUT);
        match learn_heap::replay(&mut Traced { heap, start }, steps, blocks) {
            Ok(most) => _ = core::fmt::Write::write_fmt(&mut output, format_args!("held {most}\n")),
            Err(number) => {
                say(format_args!("call {number} was answered with null\n"));
                status = 1;
            }
        }
        let _ = output.flush();
    });
    status
}
