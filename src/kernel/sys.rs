//! The last things a process says and does: one line on a descriptor, and dying.

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod signals;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod write;

on_linux! {
    pub use signals::abort;
    pub(crate) use signals::NoSignals;
    pub(crate) use write::write_to_stderr;
    pub use write::{STDERR, write_line};

    /// Whether a thread ends the process because of what it has said.
    static DIES: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

    /// Whether the process dies of a line that was written: handlers of its signal need not look for more.
    pub(crate) fn dies() -> bool {
        DIES.load(core::sync::atomic::Ordering::Relaxed)
    }

    /// Writes a line to standard error and ends the process by `SIGABRT`.
    #[cold]
    pub(crate) fn die(line: impl AsRef<[u8]>) -> ! {
        write_to_stderr(line.as_ref());
        DIES.store(true, core::sync::atomic::Ordering::Relaxed);
        abort()
    }
}

elsewhere! {
    /// There are no signals.
    pub(crate) struct NoSignals;

    impl NoSignals {
        pub(crate) fn new() -> Self {
            Self
        }
    }

    /// There is nowhere to write to.
    pub(crate) fn write_to_stderr(_: &[u8]) {}

    /// Ends the program by a panic that does not unwind, of which the line is the message: what becomes of it, the program's
    /// panic handler decides.
    #[cold]
    pub(crate) fn die(line: impl AsRef<[u8]>) -> ! {
        die_by_panic(core::str::from_utf8(line.as_ref()).unwrap_or_default().trim_end())
    }

    /// A panic cannot leave a function of this calling convention: it ends the program there.
    #[allow(improper_ctypes_definitions, reason = "called from Rust alone")]
    extern "C" fn die_by_panic(line: &str) -> ! {
        panic!("{line}")
    }
}
