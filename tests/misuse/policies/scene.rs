//! A heap with blocks in use, one mistake, and what must be reported under each policy.

use hmalloc::{Block, BlockState, Hmalloc, Misuse, MisuseKind, Policy};
use std::alloc::{GlobalAlloc, Layout};
use support::child::observe;

const CONTENT: u8 = 0x5A;

static IGNORE: Hmalloc = Hmalloc::with_policy(Policy::Ignore);
static REPORT: Hmalloc = Hmalloc::with_policy(Policy::Report);
static ABORT: Hmalloc = Hmalloc::with_policy(Policy::Abort);
/// The default is to abort, too.
static DEFAULT: Hmalloc = Hmalloc::new();

pub(crate) fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// A heap with blocks in use, and the call that is to be wrong.
pub(crate) struct Scene {
    pub(crate) heap: &'static Hmalloc,
    blocks: Vec<(*mut u8, Layout)>,
}

/// What standard error must say: the call, the address, what is wrong with it, and what is around it.
pub(crate) type Expected = String;

impl Scene {
    fn new(policy: &str) -> Self {
        let heap = match policy {
            "ignore" => &IGNORE,
            "report" => &REPORT,
            "abort" => &ABORT,
            "default" => &DEFAULT,
            other => unreachable!("{other}"),
        };
        let mut scene = Self { heap, blocks: Vec::new() };
        for size in [1, 24, 64, 64, 200, 1000, 5000, 20_000, 100_000, 64, 2000] {
            scene.take(size);
        }
        scene
    }

    /// One more block, which lives to the end.
    pub(crate) fn take(&mut self, size: usize) -> *mut u8 {
        let payload = self.take_briefly(size);
        self.blocks.push((payload, layout(size)));
        payload
    }

    /// One more block, which the scene forgets.
    pub(crate) fn take_briefly(&self, size: usize) -> *mut u8 {
        // SAFETY: no size here is 0.
        let payload = unsafe { self.heap.alloc(layout(size)) };
        assert!(!payload.is_null());
        // SAFETY: the block is `size` bytes long.
        unsafe { payload.write_bytes(CONTENT, size) };
        payload
    }

    /// The block of `size` bytes that the scene holds.
    pub(crate) fn block(&self, size: usize) -> *mut u8 {
        self.blocks.iter().find(|(_, layout)| layout.size() == size).expect("such a block").0
    }

    pub(crate) fn free(&self, payload: *mut u8, size: usize) {
        // SAFETY: a live block that is not used any more, or a mistake, which the heap notices and refuses.
        unsafe { self.heap.dealloc(payload, layout(size)) }
    }

    /// `ADDRESS is KIND: OFFSET bytes into SIZE STATE bytes at START`, where the block around the address is known.
    pub(crate) fn line(
        &self,
        call: &str,
        payload: *mut u8,
        kind: &str,
        around: Option<(*mut u8, usize, &str)>,
    ) -> Expected {
        let misuse = misuse(payload, kind, around);
        let around = around.map_or(String::new(), |(start, size, state)| {
            format!(": {} bytes into {size} {state} bytes at {start:p}", payload.addr() - start.addr())
        });
        let line = format!("hmalloc: {call}: {payload:p} is {kind}{around}");
        assert_eq!(format!("hmalloc: {call}: {misuse}"), line, "whoever prints a misuse reads the same");
        line + &caller()
    }

    /// After the mistake, which must have changed nothing: the heap is sound, and goes on.
    fn go_on(mut self, before: hmalloc::Stats) {
        assert_eq!(self.heap.check(), Ok(()));
        assert_eq!(self.heap.stats(), before);
        for size in [64, 3000, 70_000] {
            self.take(size);
        }
        for (payload, layout) in std::mem::take(&mut self.blocks) {
            // SAFETY: the block is live and was written to its end.
            let bytes = unsafe { std::slice::from_raw_parts(payload, layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == CONTENT));
            self.free(payload, layout.size());
        }
        assert_eq!((self.heap.check(), self.heap.stats().live_blocks), (Ok(()), 0));
    }
}

/// Who makes the mistake: this thread.
fn caller() -> String {
    let program = std::env::args_os().next().map(std::path::PathBuf::from).expect("a path");
    let name = program.file_name().expect("a name").to_string_lossy().into_owned();
    // SAFETY: no arguments, no effects.
    let thread = unsafe { libc::gettid() };
    format!(" [program {name}, process {}, thread {thread}]", std::process::id())
}

/// The misuse that these words describe.
fn misuse(payload: *mut u8, kind: &str, around: Option<(*mut u8, usize, &str)>) -> Misuse {
    use {BlockState::*, MisuseKind::*};
    let kinds = [OutsideHeap, Misaligned, NotABlock, AlreadyFree, WrongLayout];
    let kind = kinds.into_iter().find(|known| known.to_string() == kind).expect("one of the kinds");
    let found = around.map(|(start, size, state)| {
        let state = [Used, Free, Foreign, Metadata].into_iter().find(|known| known.to_string() == state);
        Block { address: start.addr(), size, state: state.expect("one of the states") }
    });
    Misuse { kind, address: payload.addr(), found }
}

/// The wrong call.
pub(crate) type Act = Box<dyn FnOnce(&Scene)>;

/// The expected line goes to standard output before the mistake is made, so that the parent, whose addresses differ,
/// can compare. `mistake` returns it together with the act.
pub(crate) fn make<T>(test: &T, mistake: fn(&mut Scene) -> (Expected, Act)) {
    for policy in ["ignore", "report", "abort", "default"] {
        let ended = observe(test, policy, &[], move |policy| {
            let mut scene = Scene::new(policy);
            let (expected, act) = mistake(&mut scene);
            println!("\nexpected {expected}");
            let before = scene.heap.stats();
            act(&scene);
            println!("\nlived on");
            scene.go_on(before);
        });
        let said = |word: &str| ended.stdout.lines().find_map(|line| line.strip_prefix(word).map(str::to_owned));
        let expected = said("expected ").unwrap_or_else(|| panic!("{policy}: the mistake was not made: {ended:#?}"));
        let heard = if policy == "ignore" { String::new() } else { expected + "\n" };
        assert_eq!(ended.stderr, heard, "{policy}");
        if policy == "abort" || policy == "default" {
            assert_eq!(ended.signal, Some(libc::SIGABRT), "{policy}: {ended:#?}");
            assert!(said("lived on").is_none(), "{policy}: {ended:#?}");
        } else {
            assert!(ended.finished, "{policy}: {ended:#?}");
        }
    }
}
