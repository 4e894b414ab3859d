//! The one heap of a process.

use hmalloc::Hmalloc;

/// Its own policy for wrong pointers is not used: see `policy`.
pub(crate) static HEAP: Hmalloc = Hmalloc::new();

// A libc initializes itself before who needs it, so that its environment is in place. Without one nobody calls this.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

/// At the latest now the heap is used, and its fork handlers are registered: a first use inside another fork handler
/// would come too late, for libc holds a lock of its own then.
extern "C" fn at_start() {
    let _ = HEAP.usable_size(core::ptr::null());
    #[cfg(feature = "preload")]
    crate::environment::read();
}
