//! What the benchmark itself needs of the system, without allocating from anything that is measured.

use std::mem::MaybeUninit;

/// `bytes` of fresh zeroed memory that is given back when the process ends. Reserved only: pages come on first touch.
pub(crate) fn reserve(bytes: usize) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice disturbs nothing.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert!(address != libc::MAP_FAILED, "no address space for {bytes} bytes");
    address.cast()
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
    let mut text = [0_u8; 4096];
    // SAFETY: the path ends in a null byte, and `read` writes at most `text.len()` bytes into `text`.
    let length = unsafe {
        let file = libc::open(c"/proc/self/smaps_rollup".as_ptr(), libc::O_RDONLY);
        assert!(file >= 0, "this kernel has no /proc/self/smaps_rollup");
        let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        length
    };
    let text = std::str::from_utf8(&text[..length.max(0) as usize]).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("an Rss line");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * 1024
}
