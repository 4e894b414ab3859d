//! What the benchmark itself needs of the system, without allocating from anything that is measured.

use std::ffi::CStr;
use std::io::Write;
use std::mem::MaybeUninit;

/// `bytes` of fresh zeroed memory that is given back when the process ends. Reserved only: pages come on first touch.
pub(crate) fn reserve(bytes: usize) -> *mut u8 {
    map(bytes, libc::MAP_PRIVATE)
}

/// `bytes` of fresh zeroed memory that a process made by [`apart`] shares with its parent.
pub(crate) fn share(bytes: usize) -> *mut u8 {
    map(bytes, libc::MAP_SHARED)
}

fn map(bytes: usize, kind: libc::c_int) -> *mut u8 {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, kind | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice disturbs nothing.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0) };
    assert!(address != libc::MAP_FAILED, "no address space for {bytes} bytes");
    address.cast()
}

/// Gives back what [`share`] gave.
pub(crate) fn unshare(start: *mut u8, bytes: usize) {
    // SAFETY: the callers hold nothing that lies in there any more.
    assert_eq!(unsafe { libc::munmap(start.cast(), bytes) }, 0);
}

/// Does `work` in a copy of this process, which has one thread. What it takes from any heap ends with the copy.
pub(crate) fn apart(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: with one thread, the copy finds every lock free; it leaves by `_exit`, so nothing is flushed twice.
    unsafe {
        let process = libc::fork();
        assert!(process >= 0, "no process could be made");
        if process == 0 {
            libc::_exit(if work() { 0 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(process, &raw mut status, 0), process);
        status == 0
    }
}

/// A table in memory of its own, every element written, so that using it later faults no page in.
pub(crate) fn table<T: Copy>(length: usize, element: impl Fn(usize) -> T) -> &'static mut [T] {
    let start = reserve((length * size_of::<T>()).max(1)).cast::<T>();
    for index in 0..length {
        // SAFETY: the mapping holds `length` elements and is page-aligned.
        unsafe { start.add(index).write(element(index)) };
    }
    // SAFETY: all elements were written above, and nobody else knows the mapping.
    unsafe { std::slice::from_raw_parts_mut(start, length) }
}

/// Keeps this process's memory in pages of the usual size: where only first words are touched, a huge page for each
/// would need as much memory as the blocks have bytes. A kernel that has no huge pages may refuse.
pub(crate) fn forbid_huge_pages() {
    // SAFETY: concerns only how the kernel backs memory that this process touches from here on.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Processor time of this thread in nanoseconds: a neighbour that takes the processor away does not count.
pub(crate) fn processor_time() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the clock exists on every Linux; the call fills `time`.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()), 0);
        time.assume_init()
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Resident bytes of this process, counted page by page: the cheaper counters lag by hundreds of kilobytes.
pub(crate) fn resident() -> usize {
    figure(c"/proc/self/smaps_rollup", "Rss:")
}

/// The most bytes that were ever resident in this process. This is a cheaper counter.
pub(crate) fn peak_resident() -> usize {
    figure(c"/proc/self/status", "VmHWM:")
}

/// Bytes of addresses that this process has mapped: what `RLIMIT_AS` limits.
pub(crate) fn address_space() -> usize {
    figure(c"/proc/self/status", "VmSize:")
}

/// The bytes behind `name` in a short file of lines like `name  12 kB`.
fn figure(path: &CStr, name: &str) -> usize {
    let mut text = [0_u8; 4096];
    // SAFETY: the path ends in a null byte, and `read` writes at most `text.len()` bytes into `text`.
    let length = unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY);
        assert!(file >= 0, "this kernel has no {path:?}");
        let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        length
    };
    let text = std::str::from_utf8(&text[..length.max(0) as usize]).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of this name");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * 1024
}

/// Lets this process have `bytes` of addresses more than it has now, and no more.
pub(crate) fn limit_address_space(bytes: usize) {
    let limit = (address_space() + bytes) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: reads `limit` only.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

/// Writes to standard output without allocating, which `println` does from the C library's heap. For short lines.
pub(crate) fn say(text: std::fmt::Arguments<'_>) {
    let mut line = [0_u8; 256];
    let mut rest = &mut line[..];
    rest.write_fmt(text).expect("the line is short");
    let length = 256 - rest.len();
    // SAFETY: so many bytes of `line` are there to be read.
    let written = unsafe { libc::write(libc::STDOUT_FILENO, line.as_ptr().cast(), length) };
    assert_eq!(written, length as isize, "the parent reads on");
}

/// No file descriptor is ever this large, so closing one does nothing; a tracer sees it.
const MARK: i32 = 0x4D41_524B;

/// Tells a tracer that `phase` begins.
pub(crate) fn mark(phase: i32) {
    // SAFETY: there is no such file descriptor to close.
    let status = unsafe { libc::close(MARK + phase) };
    assert_eq!(status, -1, "the mark is a file descriptor that does not exist");
}

/// The phase that a call of `close` with this argument begins.
pub(crate) fn phase_of(argument: u64) -> Option<usize> {
    argument.checked_sub(MARK as u64).filter(|phase| (1..=3).contains(phase)).map(|phase| phase as usize)
}

/// The signal that tells a tracer the same of a child that it steps through, where it sees no calls.
pub(crate) const STEP_MARK: i32 = libc::SIGUSR1;

pub(crate) fn mark_step() {
    // SAFETY: the tracer keeps the signal to itself; without one it ends this process, which is a child.
    assert_eq!(unsafe { libc::raise(STEP_MARK) }, 0);
}

/// The processor's name and how many of them there are.
pub(crate) fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {count} processors, {}", model.map_or("unknown processor", |(_, name)| name), std::env::consts::ARCH)
}

/// The kernel's version.
pub(crate) fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Day and minute, as `2026-11-26 19:30 UTC`.
pub(crate) fn date(seconds_since_1970: u64) -> String {
    let mut parts = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: reads the seconds and fills `parts`, unless the year does not fit an `int`.
    let parts = unsafe {
        assert!(!libc::gmtime_r(&(seconds_since_1970 as libc::time_t), parts.as_mut_ptr()).is_null());
        parts.assume_init()
    };
    let (year, month) = (parts.tm_year + 1900, parts.tm_mon + 1);
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", parts.tm_mday, parts.tm_hour, parts.tm_min)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_date_is_that_of_the_second() {
        assert_eq!(super::date(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(super::date(951_782_400), "2000-02-29 00:00 UTC");
    }

    #[test]
    fn the_peak_is_no_less_than_what_is_resident() {
        const SLACK: usize = 4 << 20;
        assert!(super::peak_resident() + SLACK > super::resident() && super::address_space() > super::resident());
    }
}
