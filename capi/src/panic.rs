//! Nothing here panics. If something does, that is a defect of this library, and the process ends.

use crate::line::{STDERR, say};
use core::panic::PanicInfo;
use hmalloc::process::abort;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = say(STDERR, format_args!("a defect of its own: {info}"));
    abort()
}
