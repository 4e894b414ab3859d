//! What happens when a program cannot go on.

use crate::process::{abort, exit};
use crate::say;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

/// How the message of `alloc`'s default handler begins, which is a panic in a program without `std`.
const OUT_OF_MEMORY: &[u8] = b"memory allocation of ";

/// Running out of memory is an answer, with exit status 1. Any other panic is a defect: it dies by SIGABRT.
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

/// A writer that stores nothing and knows whether the text began with [`OUT_OF_MEMORY`].
struct Prefix {
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
