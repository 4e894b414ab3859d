//! Threads without a libc: the crate `origin` starts the program and its threads, and each has slabs of its own in the heap.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::fmt::Write;
use core::ptr::NonNull;
use hmalloc::{Hmalloc, Policy};
use origin::{program, thread};

// SAFETY: origin sets the thread pointer of each thread before any of the program's code runs in it; on x86_64 the word there
// holds its own address; the memory goes when the thread has ended. No signal handler uses the heap.
#[global_allocator]
static HEAP: Hmalloc = unsafe { Hmalloc::with_thread_pointers(Policy::Abort) };

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // No memory is asked for here: it may be the heap that ends the program.
    let _ = writeln!(Said, "{info}");
    program::trap()
}

/// `core` was compiled with unwinding in mind and refers to this; nothing unwinds here.
// SAFETY: nothing else in the program has the name.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    program::trap()
}

/// Standard output.
struct Said;

impl Write for Said {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        // SAFETY: nothing closes standard output.
        let _ = rustix::io::write(unsafe { rustix::stdio::stdout() }, text.as_bytes());
        Ok(())
    }
}

/// What a thread does: it makes words, and hands them over as its result.
unsafe fn make_words(arguments: &mut [Option<NonNull<c_void>>]) -> Option<NonNull<c_void>> {
    let number = arguments[0].map_or(0, |number| number.addr().get());
    let words: Vec<String> = (0..10_000).map(|word| format!("word {word} of thread {number}")).collect();
    Some(NonNull::from(Box::leak(Box::new(words))).cast())
}

fn start(number: usize) -> thread::Thread {
    let argument = NonNull::new(core::ptr::without_provenance_mut(number));
    // SAFETY: the argument is a number.
    let thread =
        unsafe { thread::create(make_words, &[argument], thread::default_stack_size(), thread::default_guard_size()) };
    thread.expect("the kernel gives a thread")
}

/// The words of a thread that has ended.
fn join(thread: thread::Thread) -> Vec<String> {
    // SAFETY: each thread is joined once, and its result is the box that it leaked.
    *unsafe { Box::from_raw(thread::join(thread).expect("a result").cast::<Vec<String>>().as_ptr()) }
}

/// Where origin enters the program.
// SAFETY: the name is origin's for this function, and no other is called so.
#[unsafe(no_mangle)]
unsafe fn origin_main(_count: usize, _arguments: *mut *mut u8, _environment: *mut *mut u8) -> i32 {
    let threads: Vec<thread::Thread> = (1..=4).map(start).collect();
    let words: Vec<Vec<String>> = threads.into_iter().map(join).collect();
    let count: usize = words.iter().map(Vec::len).sum();
    let _ = writeln!(Said, "{count} words of four threads; the heap is sound: {}", HEAP.check().is_ok());
    drop(words);
    let _ = writeln!(Said, "freed by the main thread: {} blocks are left", HEAP.stats().live_blocks);
    0
}
