//! The kernel as a scenario sees and provokes it. Nothing here allocates.

use std::mem::MaybeUninit;
use support::calls::KIB;

/// The break, asked of the kernel: the C library only remembers where it left it.
pub(crate) fn current_break() -> usize {
    // SAFETY: asking moves nothing.
    unsafe { libc::syscall(libc::SYS_brk, 0) as usize }
}

/// Moves the break as a neighbour without the C library does: from where it is. Returns where it was.
pub(crate) fn move_break(by: isize) -> usize {
    let before = current_break();
    let to = before.checked_add_signed(by).expect("an address");
    // SAFETY: a neighbour's raise takes memory that is not in use; it lowers only what it raised.
    let now = unsafe { libc::syscall(libc::SYS_brk, to) } as usize;
    assert_eq!(now, to, "the neighbour's own move is granted");
    before
}

/// The kernel's page size in bytes.
pub(crate) fn page() -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// The first number after `key` in a file of /proc/self.
fn number(file: &std::ffi::CStr, key: &str) -> usize {
    let mut text = [0_u8; 4096];
    // SAFETY: the path is a C string, and `read` writes at most `text.len()` bytes into `text`.
    let length = unsafe {
        let file = libc::open(file.as_ptr(), libc::O_RDONLY);
        assert!(file >= 0, "/proc is mounted");
        let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        usize::try_from(length).expect("the file can be read")
    };
    let text = std::str::from_utf8(&text[..length]).expect("the file is text");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("the key is there");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number follows the key")
}

/// Page faults that the process has had.
pub(crate) fn faults() -> usize {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills in what is passed, all of whose bits may be zero.
    let minor = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init().ru_minflt
    };
    usize::try_from(minor).expect("a count")
}

/// Whether the kernel has huge pages for who asks.
pub(crate) fn has_huge_pages() -> bool {
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    setting.is_ok_and(|setting| !setting.contains("[never]"))
}

/// Bytes of physical memory that the process occupies.
pub(crate) fn resident() -> usize {
    number(c"/proc/self/smaps_rollup", "Rss:") * KIB
}

/// The part of it that is no file's: code that runs for the first time does not count.
pub(crate) fn anonymous() -> usize {
    number(c"/proc/self/smaps_rollup", "Anonymous:") * KIB
}

/// The most bytes of physical memory that the process has occupied.
pub(crate) fn peak_resident() -> usize {
    number(c"/proc/self/status", "VmHWM:") * KIB
}

/// Bytes of address space that the process occupies.
pub(crate) fn address_space() -> usize {
    number(c"/proc/self/statm", "") * page()
}

/// Bytes that count against `RLIMIT_DATA`.
pub(crate) fn data() -> usize {
    number(c"/proc/self/status", "VmData:") * KIB
}

/// Sets the soft `RLIMIT_DATA`; `None` lifts it.
pub(crate) fn limit_data(bytes: Option<usize>) {
    limit(libc::RLIMIT_DATA, bytes);
}

/// Sets the soft `RLIMIT_AS`; `None` lifts it.
pub(crate) fn limit_address_space(bytes: Option<usize>) {
    limit(libc::RLIMIT_AS, bytes);
}

fn limit(resource: libc::__rlimit_resource_t, bytes: Option<usize>) {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `getrlimit` fills the structure that `setrlimit` then reads.
    unsafe {
        assert_eq!(libc::getrlimit(resource, limit.as_mut_ptr()), 0);
        let mut limit = limit.assume_init();
        limit.rlim_cur = bytes.map_or(limit.rlim_max, |bytes| bytes as libc::rlim_t);
        assert_eq!(libc::setrlimit(resource, &limit), 0);
    }
}

/// A mapping of one page right above the break, which can then not be raised. Returns its address.
pub(crate) fn block_the_break() -> usize {
    let above = current_break().next_multiple_of(page());
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: the flags let the kernel place the page there only if nothing else is there.
    let mapped = unsafe { libc::mmap(above as *mut libc::c_void, page(), libc::PROT_NONE, flags, -1, 0) } as usize;
    assert_eq!(mapped, above, "nothing lies right above the break before");
    above
}

/// Takes the mapping of [`block_the_break`] away.
pub(crate) fn unblock_the_break(address: usize) {
    // SAFETY: the page was mapped by `block_the_break` and is not used.
    assert_eq!(unsafe { libc::munmap(address as *mut libc::c_void, page()) }, 0);
}

/// From now on the kernel answers `calls` of this thread with `errno`, by a seccomp filter; with 0 if that is 0, and does
/// nothing.
pub(crate) fn refuse<const N: usize>(calls: [libc::c_long; N], errno: libc::c_int) {
    filter(&calls, libc::SECCOMP_RET_ERRNO | errno as u32, libc::SECCOMP_RET_ALLOW);
}

/// From now on `calls` of this thread end the process.
pub(crate) fn kill<const N: usize>(calls: [libc::c_long; N]) {
    filter(&calls, libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_ALLOW);
}

/// From now on all calls of this thread but `calls` end the process.
pub(crate) fn allow_only(calls: &[libc::c_long]) {
    filter(calls, libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_KILL_PROCESS);
}

fn filter(calls: &[libc::c_long], listed: u32, other: u32) {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [step(answer, 0, 0, other); 32];
    // The number of the call is the first word of what a filter sees.
    program[0] = step(load, 0, 0, 0);
    for (index, call) in calls.iter().enumerate() {
        program[1 + index * 2] = step(equal, 0, 1, *call as u32);
        program[2 + index * 2] = step(answer, 0, 0, listed);
    }
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which is `len` steps long. One filter may already forbid to ask for another.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let added = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter);
        assert_eq!(added, 0, "no seccomp");
    }
}
