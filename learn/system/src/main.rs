//! The C library's malloc under a trace: `system [0]`, with the steps on standard input; and under a wrong free:
//! `system misuse NUMBER`.

use learn_heap::{Replayed, Step};
use std::io::Read;
use std::process::ExitCode;

/// The library's malloc, and what was mapped apart before the trace began.
struct System {
    mapped_before: usize,
}

impl Replayed for System {
    fn malloc(&mut self, size: usize) -> *mut u8 {
        // SAFETY: any size may be asked for.
        unsafe { libc::malloc(size) }.cast()
    }

    fn free(&mut self, payload: *mut u8) {
        // SAFETY: a trace frees what is live, once.
        unsafe { libc::free(payload.cast()) }
    }

    fn realloc(&mut self, payload: *mut u8, _: usize, size: usize) -> *mut u8 {
        // SAFETY: a trace resizes what is live, and uses the answer from then on.
        unsafe { libc::realloc(payload.cast(), size) }.cast()
    }

    #[cfg(target_env = "gnu")]
    fn held(&mut self) -> usize {
        // SAFETY: it only reads the library's own figures.
        let figures = unsafe { libc::mallinfo2() };
        figures.arena + figures.hblkhd.saturating_sub(self.mapped_before)
    }

    #[cfg(not(target_env = "gnu"))]
    fn held(&mut self) -> usize {
        0
    }
}

/// Bytes mapped apart.
#[cfg(target_env = "gnu")]
fn mapped() -> usize {
    // SAFETY: it only reads the library's own figures.
    unsafe { libc::mallinfo2() }.hblkhd
}

#[cfg(not(target_env = "gnu"))]
fn mapped() -> usize {
    0
}

/// More elements than any trace here has steps.
const APART: usize = 1 << 20;

/// Makes a wrong free, and says whether the heap works on.
fn misuse(number: &str) -> ExitCode {
    let mut heap = System { mapped_before: 0 };
    let [a, b, c] = [40, 40, 40].map(|size| heap.malloc(size));
    match number {
        "0" => heap.free(std::ptr::null_mut()),
        "1" => {
            heap.free(b);
            heap.free(b);
        }
        "2" => heap.free(b.wrapping_add(16)),
        "3" => heap.free(b.wrapping_add(4)),
        "4" => heap.free(b.wrapping_sub(8)),
        _ => heap.free(c.wrapping_add(100_000)),
    }
    let [d, e] = [40, 40].map(|size| heap.malloc(size));
    if d == e || [a, c].contains(&d) || [a, c].contains(&e) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == "misuse") {
        return misuse(&std::env::args().nth(2).unwrap_or_default());
    }
    // So large that the library maps it apart: what this program itself holds is not the trace's.
    let mut bytes = Vec::with_capacity(APART);
    if std::io::stdin().read_to_end(&mut bytes).is_err() {
        return ExitCode::FAILURE;
    }
    let none = std::env::args().nth(1).is_some_and(|argument| argument == "0");
    let word = |at: &[u8]| u32::from_ne_bytes([at[0], at[1], at[2], at[3]]);
    let step = |at: &[u8]| Step { place: word(at), size: word(&at[4..]), old: word(&at[8..]) };
    let mut steps: Vec<Step> = Vec::with_capacity(APART);
    steps.extend(bytes.chunks_exact(size_of::<Step>()).map(step));
    let mut blocks = Vec::with_capacity(APART);
    blocks.resize(steps.len(), std::ptr::null_mut());
    let mapped_before = mapped();
    match learn_heap::replay(&mut System { mapped_before }, if none { &[] } else { &steps }, &mut blocks) {
        Ok(most) => println!("held {most}"),
        Err(number) => eprintln!("call {number} was answered with null"),
    }
    ExitCode::SUCCESS
}
