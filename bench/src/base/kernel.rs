//! What a child needs of the kernel, without allocating from anything that is measured.

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::sys::resource::{Resource, UsageWho, getrusage, setrlimit};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{ForkResult, alarm, fork};
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::time::Duration;

/// `bytes` of fresh zeroed memory until the process ends. Reserved only: pages come on first touch.
pub(crate) fn reserve(bytes: usize) -> *mut u8 {
    map(bytes, MapFlags::MAP_PRIVATE).as_ptr()
}

/// `bytes` of fresh zeroed memory that a process made by [`apart`] shares with its parent.
pub(crate) fn share(bytes: usize) -> NonNull<u8> {
    map(bytes, MapFlags::MAP_SHARED)
}

fn map(bytes: usize, kind: MapFlags) -> NonNull<u8> {
    let length = NonZeroUsize::new(bytes).expect("a mapping has a length");
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the address, so the mapping replaces nothing.
    unsafe { mmap_anonymous(None, length, access, kind | MapFlags::MAP_NORESERVE) }.expect("address space").cast()
}

/// Unmaps what [`share`] mapped.
pub(crate) fn unshare(start: NonNull<u8>, bytes: usize) {
    // SAFETY: the callers hold nothing that lies in there any more.
    unsafe { munmap(start.cast(), bytes) }.expect("a whole mapping");
}

/// Does `work` in a copy of this process, which has one thread. What it takes from any heap ends with the copy.
pub(crate) fn apart(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: with one thread, the copy finds every lock free.
    match unsafe { fork() }.expect("a second process") {
        // SAFETY: ends the copy at once, so that nothing is flushed twice.
        ForkResult::Child => unsafe { libc::_exit(i32::from(!work())) },
        ForkResult::Parent { child } => matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))),
    }
}

/// A table in memory of its own, every element written, so that using it later faults no page in.
pub(crate) fn table<T: Copy>(length: usize, element: impl Fn(usize) -> T) -> &'static mut [T] {
    let start = reserve((length * size_of::<T>()).max(1)).cast::<T>();
    for index in 0..length {
        // SAFETY: the mapping holds `length` elements and is page-aligned.
        unsafe { start.add(index).write(element(index)) };
    }
    // SAFETY: all elements were written above, and nothing else knows the mapping.
    unsafe { std::slice::from_raw_parts_mut(start, length) }
}

/// Keeps this process's memory in pages of the usual size: where only first words are touched, a huge page for each
/// would need as much memory as the blocks have bytes. A kernel that has no huge pages may refuse.
pub(crate) fn forbid_huge_pages() {
    let _ = nix::sys::prctl::set_thp_disable(true);
}

/// Maps the code and the constants of the program and its libraries into this process, as far as its kernel can (from
/// 5.14 on). Otherwise the kernel maps pages of files sixteen at a time, around each one that is used. Then what an allocator's first
/// round takes, and what is resident after it, depends on where the linker has put its functions in a program of a dozen allocators.
pub(crate) fn map_code() {
    unsafe extern "C" fn map(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
        const PAGE: usize = 4096;
        // SAFETY: the C library passes an object that is loaded, with so many program headers.
        let (object, segments) = unsafe {
            let object = &*object;
            (object, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
        };
        for segment in
            segments.iter().filter(|segment| segment.p_type == libc::PT_LOAD && segment.p_flags & libc::PF_W == 0)
        {
            let start = (object.dlpi_addr + segment.p_vaddr) as usize & !(PAGE - 1);
            let end = (object.dlpi_addr + segment.p_vaddr + segment.p_memsz) as usize;
            // SAFETY: the advice maps pages of a file, and changes nothing in them. Where it is refused they come when they are used.
            let _ = unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_POPULATE_READ) };
        }
        0
    }
    // SAFETY: `map` is such a callback, and needs no data.
    unsafe { libc::dl_iterate_phdr(Some(map), std::ptr::null_mut()) };
}

/// Ends this process after that time: a tracer is told nothing by a child that makes no calls.
pub(crate) fn limit_time(seconds: u32) {
    alarm::set(seconds);
}

/// Processor time of this thread in nanoseconds: a neighbour that takes the processor away does not count.
pub(crate) fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock that every Linux has");
    Duration::from(time).as_nanos() as u64
}

/// How often the kernel gave this thread's processor to another although the thread had work to do.
pub(crate) fn interruptions() -> usize {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("figures that every Linux has");
    usage.involuntary_context_switches() as usize
}

/// Resident bytes of this process, counted page by page: the cheaper counters lag by hundreds of kilobytes.
pub(crate) fn resident() -> usize {
    figure("/proc/self/smaps_rollup", "Rss:")
}

/// The most bytes that were ever resident in this process. This is a cheaper counter.
pub(crate) fn peak_resident() -> usize {
    figure("/proc/self/status", "VmHWM:")
}

/// Bytes of addresses that this process has mapped: what `RLIMIT_AS` limits.
fn address_space() -> usize {
    figure("/proc/self/status", "VmSize:")
}

/// The bytes behind `name` in a short file of lines like `name  12 kB`.
fn figure(path: &str, name: &str) -> usize {
    let mut text = [0_u8; 4096];
    let length = File::open(path).and_then(|mut file| file.read(&mut text)).expect("a file that this kernel has");
    let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of this name");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * 1024
}

/// Lets this process have `bytes` of addresses more than it has now, and no more.
pub(crate) fn limit_address_space(bytes: usize) {
    let limit = (address_space() + bytes) as u64;
    setrlimit(Resource::RLIMIT_AS, limit, limit).expect("a limit below the present one");
}

/// Writes a short line to standard output without allocating, as `println` does from the C library's heap.
pub(crate) fn say(text: std::fmt::Arguments<'_>) {
    let mut line = [0_u8; 256];
    let mut rest = &mut line[..];
    rest.write_fmt(text).expect("the line is short");
    let length = 256 - rest.len();
    // SAFETY: standard output is open to the end of the process.
    let output = unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) };
    assert_eq!(nix::unistd::write(output, &line[..length]), Ok(length), "the parent reads on");
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
pub(crate) const STEP_MARK: Signal = Signal::SIGUSR1;

/// The tracer keeps the signal to itself; without one it ends this process, which is a child.
pub(crate) fn mark_step() {
    raise(STEP_MARK).expect("a signal to oneself");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_peak_is_no_less_than_what_is_resident() {
        const SLACK: usize = 4 << 20;
        assert!(super::peak_resident() + SLACK > super::resident() && super::address_space() > super::resident());
    }
}
