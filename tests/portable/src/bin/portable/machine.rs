//! Where the program begins on each machine, how it says a line, and how it ends.

use core::fmt::Write;
use core::panic::PanicInfo;

/// A panic says its message and ends the program with status 101.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Said, "{info}");
    end(101)
}

/// Writes to where a person reads.
struct Said;

impl Write for Said {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        say(text);
        Ok(())
    }
}

/// In a web page: what runs it brings `say`, and sees `start` return.
#[cfg(target_arch = "wasm32")]
mod here {
    #[link(wasm_import_module = "page")]
    unsafe extern "C" {
        #[link_name = "say"]
        fn page_say(text: *const u8, length: usize);
    }

    pub(super) fn say(text: &str) {
        // SAFETY: the page reads so many bytes.
        unsafe { page_say(text.as_ptr(), text.len()) };
    }

    pub(super) fn end(_: u32) -> ! {
        core::arch::wasm32::unreachable()
    }

    // SAFETY: the name is this program's.
    #[unsafe(no_mangle)]
    extern "C" fn start() -> u32 {
        crate::run();
        0
    }
}

/// On a microcontroller's instructions, under an emulator: it is asked by semihosting. (A microcontroller's debugger wants
/// `bkpt` in the place of `svc`.)
#[cfg(target_arch = "arm")]
mod here {
    use core::arch::{asm, global_asm};

    const WRITE: usize = 0x05;
    const EXIT_EXTENDED: usize = 0x20;
    /// `ADP_Stopped_ApplicationExit`.
    const APPLICATION_EXIT: usize = 0x2_0026;

    fn ask(what: usize, words: &[usize]) {
        // SAFETY: the other side reads the words, and what they lead to.
        unsafe { asm!("svc 0xab", inout("r0") what => _, in("r1") words.as_ptr(), options(nostack)) };
    }

    pub(super) fn say(text: &str) {
        const STANDARD_ERROR: usize = 2;
        ask(WRITE, &[STANDARD_ERROR, text.as_ptr().addr(), text.len()]);
    }

    pub(super) fn end(status: u32) -> ! {
        loop {
            ask(EXIT_EXTENDED, &[APPLICATION_EXIT, status as usize]);
        }
    }

    global_asm!(".globl _start", ".thumb_func", "_start:", "bl {start}", "udf #0", start = sym start);

    extern "C" fn start() -> ! {
        crate::run();
        end(0)
    }
}

/// As a process, for what a kernel would be is hard to watch: the two calls are made here, the heap knows of none.
#[cfg(target_arch = "x86_64")]
mod here {
    use core::arch::{asm, global_asm};

    const WRITE: usize = 1;
    const EXIT_GROUP: usize = 231;

    fn call(number: usize, arguments: [usize; 3]) {
        let [first, second, third] = arguments;
        // SAFETY: writing reads the text, ending does not return.
        unsafe {
            asm!("syscall", inout("rax") number => _, in("rdi") first, in("rsi") second, in("rdx") third,
                out("rcx") _, out("r11") _, options(nostack));
        }
    }

    pub(super) fn say(text: &str) {
        const STANDARD_ERROR: usize = 2;
        call(WRITE, [STANDARD_ERROR, text.as_ptr().addr(), text.len()]);
    }

    pub(super) fn end(status: u32) -> ! {
        loop {
            call(EXIT_GROUP, [status as usize, 0, 0]);
        }
    }

    global_asm!(".globl _start", "_start:", "and rsp, -16", "call {start}", "ud2", start = sym start);

    extern "C" fn start() -> ! {
        crate::run();
        end(0)
    }
}

use here::{end, say};
