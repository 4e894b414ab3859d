//! What a libc calls when the process starts and when it exits. Without a libc nothing does.

#[cfg(feature = "preload")]
use crate::line::{STDERR, say};
use crate::shared::HEAP;
#[cfg(feature = "preload")]
use crate::{environment, log, report};
#[cfg(feature = "preload")]
use hmalloc::process::abort;

// A libc initializes itself before the libraries that need it, so its environment is in place.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

/// Uses the heap, which registers its fork handlers. A first use inside another fork handler would be too late, because
/// libc holds a lock of its own then.
extern "C" fn at_start() {
    let _ = HEAP.usable_size(core::ptr::null());
    #[cfg(feature = "preload")]
    environment::read();
}

#[cfg(feature = "preload")]
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// Does what the environment asks for at exit.
#[cfg(feature = "preload")]
extern "C" fn at_exit() {
    let Some(settings) = environment::settings() else { return };
    if settings.stats {
        match settings.log() {
            Some(path) => log::print(path),
            None => drop(report::print(STDERR)),
        }
    }
    if settings.check
        && let Err(corruption) = report::check()
    {
        let _ = say(STDERR, format_args!("the heap is corrupt at exit: {corruption}"));
        abort();
    }
}
