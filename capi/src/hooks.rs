//! What a libc calls when the process starts and when it exits. Without a libc nothing does.

use crate::shared::HEAP;
#[cfg(feature = "preload")]
use crate::{environment, modes};

// A libc initializes itself before the libraries that need it, so its environment is in place.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

/// Uses the heap, which registers its fork handlers. A first use inside another fork handler would be too late, because
/// libc holds a lock of its own then.
extern "C" fn at_start() {
    let _ = HEAP.usable_size(core::ptr::null());
    #[cfg(feature = "preload")]
    {
        environment::read();
        modes::begin();
    }
}

#[cfg(feature = "preload")]
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// Does what the environment asks for at exit.
#[cfg(feature = "preload")]
extern "C" fn at_exit() {
    HEAP.say_at_exit();
}
