//! Children made past the C library's `fork`, and children that share memory.

use crate::HEAP;
use crate::processes::{PATIENCE, aborted, act_and_exit, beside, forks, in_child, use_collections, use_heap, wait};
use crate::staged::{STAGED, grow, when_it_grows};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use support::child::{observe, scenario};

type Way = (&'static str, fn() -> i32);

/// Ways to make a copy of the process that call no handlers.
fn ways() -> Vec<Way> {
    // SAFETY: the flags ask for a plain copy.
    let clone = || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32 };
    let mut ways: Vec<Way> = vec![("clone", clone), ("_Fork", underscore_fork)];
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    ways.push(("fork", || unsafe { libc::syscall(libc::SYS_fork) as i32 }));
    if underscore_fork_address().is_none() {
        ways.retain(|(name, _)| *name != "_Fork");
    }
    ways
}

/// POSIX has it since 2024, C libraries since 2021.
fn underscore_fork_address() -> Option<extern "C" fn() -> i32> {
    // SAFETY: a look-up, and the function's type.
    unsafe {
        let address = libc::dlsym(libc::RTLD_DEFAULT, c"_Fork".as_ptr());
        (!address.is_null()).then(|| std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> i32>(address))
    }
}

fn underscore_fork() -> i32 {
    underscore_fork_address().map_or(-1, |fork| fork())
}

/// Copies the process in one of these ways, has the copy do `act`, and returns its status.
fn copy(way: fn() -> i32, act: impl FnOnce()) -> i32 {
    let process = way();
    assert!(process >= 0, "a process");
    if process == 0 {
        act_and_exit(act);
    }
    wait(process)
}

static PARKED: AtomicBool = AtomicBool::new(false);
static GO_ON: AtomicBool = AtomicBool::new(false);

/// Does `act` while another thread is inside of `STAGED`.
fn while_one_is_inside(act: impl FnOnce()) {
    PARKED.store(false, SeqCst);
    GO_ON.store(false, SeqCst);
    when_it_grows(|| {
        PARKED.store(true, SeqCst);
        while !GO_ON.load(SeqCst) {
            std::thread::yield_now();
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(grow);
        while !PARKED.load(SeqCst) {
            std::thread::yield_now();
        }
        act();
        GO_ON.store(true, SeqCst);
    });
}

#[test]
fn a_bare_copy_of_a_process_in_the_middle_of_a_call_dies_with_a_line() {
    let test = &a_bare_copy_of_a_process_in_the_middle_of_a_call_dies_with_a_line;
    let ended = observe(test, "", &[], |_| {
        for (name, way) in ways() {
            while_one_is_inside(|| {
                let status = copy(way, || use_heap(&STAGED, 1, 1));
                assert!(aborted(status), "{name}: {status:x}");
                // A heap that no thread was in is as good as in the parent.
                assert_eq!(copy(way, || assert_eq!(HEAP.check(), Ok(()))), 0, "{name}");
            });
            assert_eq!(copy(way, || use_heap(&STAGED, 1, 1)), 0, "{name}");
        }
    });
    assert!(ended.finished, "{ended:#?}");
    let died = |line: &str| line.starts_with("hmalloc: ") && line.ends_with(" while another thread was in it");
    assert!(ended.stderr.lines().count() == ways().len() && ended.stderr.lines().all(died), "{ended:#?}");
}

/// It works or it dies with the line, but does not hang.
#[test]
fn bare_copies_of_a_busy_process_do_not_hang() {
    scenario(&bare_copies_of_a_busy_process_do_not_hang, || {
        let work = |number| use_heap(&STAGED, number, 50);
        beside(&[&work, &work, &work], || {
            for (name, way) in ways() {
                for number in 0..forks(200) {
                    let status = copy(way, || use_heap(&STAGED, number, 3));
                    assert!(status == 0 || aborted(status), "{name}: {status:x}");
                }
            }
        });
    });
}

/// A fork by the C library, whose handlers are called, waits for its turn instead, so that the child lives.
#[test]
fn a_fork_waits_for_who_is_inside() {
    scenario(&a_fork_waits_for_who_is_inside, || {
        while_one_is_inside(|| {
            let release = std::thread::spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                GO_ON.store(true, SeqCst);
            });
            in_child(|| {
                use_heap(&STAGED, 1, 10);
                assert_eq!((STAGED.check(), HEAP.check()), (Ok(()), Ok(())));
            });
            release.join().expect("it ends");
        });
    });
}

extern "C" fn allocate_in_shared_memory(_: *mut libc::c_void) -> i32 {
    // SAFETY: the default action of SIGALRM ends the child.
    unsafe { libc::alarm(PATIENCE) };
    use_heap(&STAGED, 3, 3);
    use_heap(&HEAP, 3, 3);
    0
}

/// A child that shares memory, and its parent's thread pointer, while the parent's thread waits.
fn allocate_in_a_child_that_shares_memory() {
    let mut stack = vec![0_u8; 256 << 10];
    let top = stack.as_mut_ptr_range().end.cast::<libc::c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is the child's alone, and outlives it: this thread sleeps until it has ended.
    let process =
        unsafe { libc::clone(allocate_in_shared_memory, top.with_addr(top.addr() & !15), flags, std::ptr::null_mut()) };
    assert!(process > 0, "a process");
    assert_eq!(wait(process), 0);
}

/// It is not alone, though its thread group has one thread: it waits for a parent's thread as long as that takes.
#[test]
fn a_child_that_shares_memory_waits_for_its_parents_threads() {
    scenario(&a_child_that_shares_memory_waits_for_its_parents_threads, || {
        while_one_is_inside(|| {
            let release = std::thread::spawn(|| {
                std::thread::sleep(Duration::from_millis(1200));
                GO_ON.store(true, SeqCst);
            });
            allocate_in_a_child_that_shares_memory();
            release.join().expect("it ends");
        });
        let work = |number| {
            use_heap(&STAGED, number, 20);
            use_collections(number, 5);
        };
        beside(&[&work, &work], || (0..forks(300)).for_each(|_| allocate_in_a_child_that_shares_memory()));
        assert_eq!((STAGED.check(), HEAP.check()), (Ok(()), Ok(())));
    });
}

static LENDING: AtomicBool = AtomicBool::new(false);

extern "C" fn lend(_: *mut libc::c_void) -> i32 {
    crate::processes::LENT.with(|_| {
        LENDING.store(true, SeqCst);
        let time = libc::timespec { tv_sec: 1, tv_nsec: 200_000_000 };
        // SAFETY: sleeps.
        unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, 0) };
    });
    0
}

/// Waits until a thread of this process has ended, and uses its stack no more.
fn wait_until_gone(thread: i32) {
    // SAFETY: signal 0 only asks whether there is such a thread.
    while unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) } == 0 {
        std::thread::yield_now();
    }
}

/// Its parent waits longer than a thread would wait for itself, and forks meanwhile.
#[test]
fn a_thread_with_its_parents_thread_pointer_lends_a_heap() {
    scenario(&a_thread_with_its_parents_thread_pointer_lends_a_heap, || {
        let stack = vec![0_u8; 256 << 10].leak();
        let top = stack.as_mut_ptr_range().end.cast::<libc::c_void>();
        let flags = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM;
        for fork in [false, true] {
            LENDING.store(false, SeqCst);
            // SAFETY: the stack is that thread's alone: the one before is gone.
            let thread = unsafe { libc::clone(lend, top.with_addr(top.addr() & !15), flags, std::ptr::null_mut()) };
            assert!(thread > 0, "a thread");
            while !LENDING.load(SeqCst) {
                std::thread::yield_now();
            }
            let work = || use_heap(&crate::processes::LENT, 1, 5);
            if fork {
                in_child(work)
            } else {
                work()
            }
            wait_until_gone(thread);
        }
        assert_eq!(crate::processes::LENT.check(), Ok(()));
    });
}

/// `Command` uses `posix_spawn`; with something to be done before `exec` it forks.
#[test]
fn programs_are_executed_while_one_is_inside() {
    scenario(&programs_are_executed_while_one_is_inside, || {
        while_one_is_inside(|| {
            for _ in 0..20 {
                assert!(Command::new("true").status().expect("a program").success());
            }
        });
        assert_eq!((STAGED.check(), HEAP.check()), (Ok(()), Ok(())));
    });
}
