//! The panic handler.

use crate::io::say;
use crate::process::exit;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use hmalloc::process::abort;

/// How the message begins when memory runs out: in a program without `std`, that is a panic of `alloc`.
const OUT_OF_MEMORY: &[u8] = b"memory allocation of ";

/// Writes the message to standard error. Running out of memory is an expected failure, and ends the process with status
/// 1; any other panic is a defect, and it dies by SIGABRT.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut prefix = Prefix { matched: 0 };
    let _ = write!(prefix, "{}", info.message());
    if prefix.matched == OUT_OF_MEMORY.len() {
        say(format_args!("out of memory: {}\n", info.message()));
        exit(1)
    }
    say(format_args!("{info}\n"));
    abort()
}

/// A writer that stores nothing, and knows whether the text began with [`OUT_OF_MEMORY`].
struct Prefix {
    /// How many bytes agreed so far.
    matched: usize,
}

impl Write for Prefix {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let expected = &OUT_OF_MEMORY[self.matched..];
        let seen = &text.as_bytes()[..text.len().min(expected.len())];
        if expected.is_empty() || !expected.starts_with(seen) {
            return Err(fmt::Error);
        }
        self.matched += seen.len();
        Ok(())
    }
}
