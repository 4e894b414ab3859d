//! A process's file, written through a mapping of its end: what is recorded stays recorded, however the process ends.

use crate::raw::{Header, MAGIC, Record};
use core::ffi::c_int;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU8, Ordering};
use std::io::Write;

/// The file grows and is mapped by this much.
const WINDOW: usize = 1 << 20;
const PATH: usize = 4096;

/// The part of the file that is mapped. All zero is one that was never created.
#[repr(C)]
pub(crate) struct Window {
    /// The next record's place, and the end of the window.
    cursor: *mut Record,
    end: *mut Record,
    /// Where the next window begins in the file.
    offset: usize,
    /// The file's path, null-terminated. No descriptor stays open: the program may close what it does not know.
    path: [u8; PATH],
}

impl Window {
    /// A file in `folder` that was not there before, its first window mapped and its header written.
    pub(crate) fn create(&mut self, folder: &[u8]) -> bool {
        let mut name = [0_u8; 16];
        // SAFETY: the call writes at most 16 bytes with a null byte among them.
        let (process, parent) = unsafe {
            libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr());
            (libc::getpid() as u32, libc::getppid() as u32)
        };
        name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'_');
        // A process that becomes another program keeps its number, so the number alone does not name a file.
        for attempt in 0..100 {
            if self.set_path(folder, process, attempt, before_null(&name)).is_err() {
                return false;
            }
            match self.map(0, libc::O_CREAT | libc::O_EXCL) {
                Ok(()) => {
                    let header = Header { magic: MAGIC, started: now(), process, parent, zero: [0; 5] };
                    // SAFETY: the window is fresh, page-aligned and longer than a header.
                    unsafe {
                        self.cursor.cast::<Header>().write(header);
                        self.cursor = self.cursor.byte_add(size_of::<Header>());
                    }
                    return true;
                }
                Err(libc::EEXIST) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// An error if the path is too long.
    fn set_path(&mut self, folder: &[u8], process: u32, attempt: u32, name: &[u8]) -> std::io::Result<()> {
        let mut rest = &mut self.path[..];
        rest.write_all(folder)?;
        write!(rest, "/{process}.{attempt}.")?;
        rest.write_all(name)?;
        rest.write_all(b".raw\0")
    }

    /// The kind goes last: a record is there wholly or not at all. False if the file cannot grow.
    ///
    /// # Safety
    ///
    /// The window was created.
    pub(crate) unsafe fn write(&mut self, record: Record) -> bool {
        if self.cursor == self.end && !self.advance() {
            return false;
        }
        // SAFETY: the cursor lies in the mapped window.
        unsafe {
            self.cursor.write(Record { kind: 0, ..record });
            AtomicU8::from_ptr(self.cursor.cast()).store(record.kind, Ordering::Release);
            self.cursor = self.cursor.add(1);
        }
        true
    }

    /// Puts the cursor into the next window.
    fn advance(&mut self) -> bool {
        let end = self.end;
        if self.map(self.offset, 0).is_err() {
            say(b"hmalloc recorder: recording ends early: the file cannot grow: ", before_null(&self.path));
            return false;
        }
        // SAFETY: the old window ends at `end`, and nothing refers to it any more.
        unsafe { libc::munmap(end.byte_sub(WINDOW).cast(), WINDOW) };
        true
    }

    /// Maps the window at `offset` of the file, with room on the disk behind every page. The error is the `errno`.
    fn map(&mut self, offset: usize, flags: c_int) -> Result<(), c_int> {
        let mut window = libc::MAP_FAILED;
        // SAFETY: the path ends in a null byte; the descriptor is this function's own; the mapping is fresh.
        unsafe {
            let file = libc::open(self.path.as_ptr().cast(), libc::O_RDWR | libc::O_CLOEXEC | flags, 0o666);
            if file < 0 {
                return Err(errno::errno().0);
            }
            if libc::posix_fallocate(file, offset as libc::off_t, WINDOW as libc::off_t) == 0 {
                let protection = libc::PROT_READ | libc::PROT_WRITE;
                window = libc::mmap(null_mut(), WINDOW, protection, libc::MAP_SHARED, file, offset as libc::off_t);
            }
            libc::close(file);
            if window == libc::MAP_FAILED {
                return Err(libc::ENOMEM);
            }
            libc::madvise(window, WINDOW, libc::MADV_DONTFORK);
        }
        self.offset = offset + WINDOW;
        self.cursor = window.cast();
        self.end = self.cursor.wrapping_byte_add(WINDOW);
        Ok(())
    }
}

fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills `time`; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn before_null(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// One line on standard error.
pub(crate) fn say(what: &[u8], about: &[u8]) {
    for part in [what, about, b"\n"] {
        // SAFETY: the kernel reads `part`. Where the line cannot be written, there is nothing else to say it with.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}
