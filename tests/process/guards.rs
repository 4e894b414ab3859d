//! Sampled blocks between inaccessible pages: an access beyond such a block, or after it was freed, faults where it happens and is
//! explained in one line; a right program is never accused.

use hmalloc::{Hmalloc, MisuseKind, Policy, Sampling};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use support::child::{Ended, observe, scenario};
use support::random::Random;

static GUARDED: Hmalloc = Hmalloc::with_policy(Policy::Report);

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

fn start() {
    GUARDED.start_profile(Sampling::new().every(1).guarded()).expect("memory");
}

#[inline(never)]
fn allocate_here(size: usize) -> *mut u8 {
    let block = GUARDED.allocate(layout(size, 1)).expect("memory").as_ptr();
    // SAFETY: the block is so long.
    unsafe { block.write_bytes(1, size) };
    std::hint::black_box(block)
}

#[inline(never)]
fn free_here(block: *mut u8, size: usize) {
    // SAFETY: nothing uses it, but for the mistakes that are to be found.
    unsafe { GUARDED.dealloc(block, layout(size, 1)) };
    std::hint::black_box(());
}

/// The mistakes, by their names.
fn make(mistake: &str) {
    start();
    let block = allocate_here(100);
    // SAFETY: none of it is right.
    unsafe {
        match mistake {
            // 100 bytes end 12 before the page does.
            "overflow" => block.add(112).write_volatile(1),
            "read" => _ = block.add(5000).read_volatile(),
            "underflow" => block.sub(4096).write_volatile(1),
            "freed" => {
                free_here(block, 100);
                (0..100).for_each(|_| free_here(allocate_here(100), 100));
                block.add(7).write_volatile(1);
            }
            "cramped" => {
                make_room(2048);
                block.add(112).write_volatile(1);
            }
            "empty" => allocate_here(0).write_volatile(1),
            "large" => allocate_here(50_000).add(50_000).write_volatile(1),
            "elsewhere" => std::ptr::with_exposed_provenance_mut::<u8>(64).write_volatile(1),
            _ => panic!("{mistake}"),
        }
    }
}

/// Leaves handlers of this thread's faults so many bytes beyond what the kernel puts on their stack.
fn make_room(bytes: usize) {
    const PAGE: usize = 65_536;
    // SAFETY: the stack is a new mapping, below which nothing is accessible, and it stays.
    unsafe {
        let (open, anonymous) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let mapping = libc::mmap(std::ptr::null_mut(), 2 * PAGE, libc::PROT_NONE, anonymous, -1, 0);
        assert!(mapping != libc::MAP_FAILED && libc::mprotect(mapping.add(PAGE), PAGE, open) == 0);
        let ss_size = libc::getauxval(libc::AT_MINSIGSTKSZ).max(2048) as usize + bytes;
        let stack = libc::stack_t { ss_sp: mapping.add(PAGE), ss_flags: 0, ss_size };
        assert_eq!(libc::sigaltstack(&raw const stack, std::ptr::null_mut()), 0);
    }
}

/// All memory is in the report once, what is kept inaccessible after its free, too.
#[test]
fn a_report_has_what_is_guarded_once() {
    scenario(&a_report_has_what_is_guarded_once, || {
        start();
        let blocks: Vec<_> = (0..20).map(|_| allocate_here(100)).collect();
        let kept = allocate_here(200);
        blocks.into_iter().for_each(|block| free_here(block, 100));
        for trimmed in [false, true] {
            let report = GUARDED.report();
            let stats = report.stats;
            let sum = stats.live_bytes + report.in_runs + report.in_slabs + stats.metadata_bytes;
            assert_eq!(sum, stats.heap_bytes, "{report:?}");
            assert!(trimmed || report.trim.bytes() >= 20 * 16_384, "{report}");
            GUARDED.trim(0);
        }
        let pin = GUARDED.report().end_pin.and_then(|pin| pin.block).expect("a block");
        assert_eq!((pin.address, pin.size >= 200, pin.size < 4096), (kept.addr(), true, true));
    });
}

static PAGE_OF_FAULTS: AtomicUsize = AtomicUsize::new(0);
static TICKS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn make_writable(_: libc::c_int, info: *const libc::siginfo_t, _: *const libc::c_void) {
    let page = PAGE_OF_FAULTS.load(Relaxed);
    // SAFETY: the kernel passes `info`; the page is the test's.
    let mended = unsafe {
        let at = (*info).si_addr().addr() == page;
        at && libc::mprotect(std::ptr::with_exposed_provenance_mut(page), 4096, libc::PROT_READ | libc::PROT_WRITE) == 0
    };
    if !mended {
        // SAFETY: ends the process.
        unsafe { libc::_exit(7) };
    }
}

extern "C" fn tick(_: libc::c_int) {
    TICKS.fetch_add(1, Relaxed);
    // As much of the stack as is likely to be another's, if it is.
    std::hint::black_box([0x55_u8; 3000]);
}

/// A program that handles its own faults and lives on, as a collector with write barriers does, and whose timer's handler is on the
/// alternate stack as well: that is in use while our handler looks whether it is to explain a fault.
#[test]
fn a_program_lives_on_after_its_own_faults_beside_a_timer() {
    scenario(&a_program_lives_on_after_its_own_faults_beside_a_timer, || {
        let act = |signal, handler: usize, flags| {
            // SAFETY: an action of zeros is one, and the handlers are functions of their types.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                (action.sa_sigaction, action.sa_flags) = (handler, libc::SA_ONSTACK | flags);
                assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
            }
        };
        make_room(40_000);
        act(libc::SIGSEGV, make_writable as *const () as usize, libc::SA_SIGINFO);
        act(libc::SIGALRM, tick as *const () as usize, libc::SA_RESTART);
        // SAFETY: the mapping is the test's, and stays.
        let page = unsafe {
            let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), 65_536, libc::PROT_READ, anonymous, -1, 0)
        };
        assert_ne!(page, libc::MAP_FAILED);
        PAGE_OF_FAULTS.store(page.expose_provenance(), Relaxed);
        start();
        free_here(allocate_here(100), 100);
        let every = |microseconds| {
            let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
            let timer = libc::itimerval { it_interval: time, it_value: time };
            // SAFETY: reads what it is given.
            assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
        };
        every(200);
        for _ in 0..20_000 {
            // SAFETY: the page is there; the write faults, and is repeated once it may be written.
            unsafe {
                assert_eq!(libc::mprotect(page, 4096, libc::PROT_READ), 0);
                page.cast::<u8>().write_volatile(1);
            }
        }
        every(0);
        assert!(TICKS.load(Relaxed) > 10);
    });
}

fn faults(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| line.starts_with("hmalloc: fault: 0x")).collect()
}

#[test]
fn a_mistake_faults_and_is_explained() {
    let test = &a_mistake_faults_and_is_explained;
    for (mistake, says, freed) in [
        ("overflow", "12 bytes after the end of 100 used bytes", false),
        ("cramped", "12 bytes after the end of 100 used bytes", false),
        ("read", "4900 bytes after the end of 100 used bytes", false),
        ("underflow", "4096 bytes before 100 used bytes", false),
        ("freed", "7 bytes into 100 freed bytes", true),
        ("empty", "0 bytes after the end of 0 used bytes", false),
        ("large", "0 bytes after the end of 50000 used bytes", false),
    ] {
        let ended = observe(test, mistake, &[], make);
        assert_eq!((ended.signal, ended.finished), (Some(libc::SIGSEGV), false), "{mistake}: {ended:#?}");
        let [line] = faults(&ended)[..] else { panic!("{mistake}: {ended:#?}") };
        // The stacks of `std`'s unwinder.
        let stacks = line.matches(" at process-").count();
        assert!(line.contains(says) && line.contains("allocated by thread ") && line.ends_with(']'), "{line}");
        assert_eq!((stacks, line.contains(", freed by thread ")), (1 + usize::from(freed), freed), "{line}");
    }
    // What is no block of the heap's is for the program itself, which dies as it would.
    let ended = observe(test, "elsewhere", &[], make);
    assert!(ended.signal == Some(libc::SIGSEGV) && faults(&ended).is_empty(), "{ended:#?}");
}

#[test]
fn guarded_blocks_are_blocks_as_any_others() {
    scenario(&guarded_blocks_are_blocks_as_any_others, || {
        start();
        let (mut random, mut held) = (Random::new(5), Vec::new());
        for step in 0..6000 {
            let size = [0, 7, 100, 4096, 5000, 20_000, 57_344, 90_000][random.below(8)];
            let align = [1, 16, 64, 4096, 16_384][random.below(5).min(random.below(5))];
            // SAFETY: blocks are used as long as they are held, with their layouts.
            unsafe {
                let block = GUARDED.alloc(layout(size, align));
                assert!(!block.is_null() && block.addr().is_multiple_of(align));
                block.write_bytes(step as u8, size);
                held.push((block, size, align, step as u8));
                let (block, size, align, byte) = held.swap_remove(random.below(held.len()));
                assert!((0..size).all(|at| block.add(at).read() == byte));
                if random.below(3) == 0 {
                    let new = random.below(2 * size + 2);
                    let moved = GUARDED.realloc(block, layout(size, align), new);
                    assert!(!moved.is_null() && (0..size.min(new)).all(|at| moved.add(at).read() == byte));
                    moved.write_bytes(byte, new);
                    held.push((moved, new, align, byte));
                } else {
                    GUARDED.dealloc(block, layout(size, align));
                }
            }
            if step % 500 == 0 {
                assert_eq!(GUARDED.check(), Ok(()));
                if step % 1000 == 0 {
                    GUARDED.trim(0);
                }
            }
        }
        let stats = GUARDED.stats();
        assert_eq!(stats.live_blocks, held.len());
        assert_eq!(stats.heap_bytes, stats.live_bytes + stats.free_bytes + stats.metadata_bytes);
        // SAFETY: as above.
        held.into_iter().for_each(|(block, size, align, _)| unsafe { GUARDED.dealloc(block, layout(size, align)) });
        assert_eq!((GUARDED.check(), GUARDED.stats().live_blocks), (Ok(()), 0));
        GUARDED.trim(0);
        assert!(GUARDED.stats().heap_bytes < 24 << 20, "{}", GUARDED.stats());
    });
}

#[test]
fn a_freed_guarded_block_is_known_to_be_free() {
    scenario(&a_freed_guarded_block_is_known_to_be_free, || {
        start();
        let block = allocate_here(33);
        assert_eq!(GUARDED.usable_size(block), Ok(33));
        free_here(block, 33);
        // SAFETY: a mistake, which the heap notices.
        let misuse = unsafe { GUARDED.free_sized(block, layout(33, 1)) }.expect_err("it is free");
        assert_eq!((misuse.kind, misuse.found.map(|found| found.size)), (MisuseKind::AlreadyFree, Some(33)));
    });
}
