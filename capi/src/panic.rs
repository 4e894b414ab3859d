//! The panic handler. A panic would be a defect of this library: it is reported, and the process dies by SIGABRT.

use crate::line::{STDERR, say};
use core::panic::PanicInfo;
use hmalloc::process::abort;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = say(STDERR, format_args!("a defect of its own: {info}"));
    abort()
}
