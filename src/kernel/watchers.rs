//! Tools that watch a program's heap, told of each block of a Rust program by cargo features: valgrind's memcheck, which sees only
//! what it is told of a heap that is not libc's, and heaptrack.
//!
//! | feature | what is told | what it costs where the tool is not there |
//! |---|---|---|
//! | `valgrind` | by a sequence of instructions that does nothing on a processor, on x86_64 and aarch64 | some ten instructions a call |
//! | `heaptrack` | by `heaptrack_malloc` and `heaptrack_free`, which its preloaded library has | the look whether they are there |
//!
//! Without these features none of it is in a program.

/// Whether anything is told.
pub(crate) const TELLS: bool = cfg!(any(feature = "valgrind", feature = "heaptrack"));

/// Tells that a block was allocated; it holds `size` bytes that nothing was written to yet.
#[inline(always)]
pub(crate) fn tell_allocated(block: *mut u8, size: usize) {
    #[cfg(feature = "valgrind")]
    valgrind::ask(valgrind::MALLOCLIKE_BLOCK, [block.addr(), size, 0, 0]);
    #[cfg(feature = "heaptrack")]
    heaptrack::allocated(block, size);
    let _ = (block, size);
}

/// Tells that a block is freed, before it is: from then on another thread may get it.
#[inline(always)]
pub(crate) fn tell_freed(block: *mut u8) {
    #[cfg(feature = "valgrind")]
    valgrind::ask(valgrind::FREELIKE_BLOCK, [block.addr(), 0, 0, 0]);
    #[cfg(feature = "heaptrack")]
    heaptrack::freed(block);
    let _ = block;
}

#[cfg(feature = "valgrind")]
mod valgrind {
    /// The numbers of its requests, as `valgrind.h` has them.
    pub(super) const MALLOCLIKE_BLOCK: usize = 0x1301;
    pub(super) const FREELIKE_BLOCK: usize = 0x1302;

    /// Makes a request of valgrind's; on a processor it does nothing.
    #[inline(always)]
    pub(super) fn ask(request: usize, [first, second, third, fourth]: [usize; 4]) {
        let words = [request, first, second, third, fourth, 0];
        // SAFETY: rotations by 64 bits in all, and a move of a register to itself. Valgrind reads the six words.
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        unsafe {
            core::arch::asm!(
                "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
                in("rax") &raw const words, inout("rdx") 0_usize => _, options(nostack),
            );
        }
        // SAFETY: as above.
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        unsafe {
            core::arch::asm!(
                "ror x12, x12, #3", "ror x12, x12, #13", "ror x12, x12, #51", "ror x12, x12, #61", "orr x10, x10, x10",
                in("x4") &raw const words, inout("x3") 0_usize => _, options(nostack),
            );
        }
        let _ = words;
    }
}

#[cfg(feature = "heaptrack")]
mod heaptrack {
    use core::ffi::{CStr, c_char, c_void};
    use core::sync::atomic::AtomicUsize;
    use core::sync::atomic::Ordering::Relaxed;

    type ReportAlloc = unsafe extern "C" fn(*mut c_void, usize);
    type ReportFree = unsafe extern "C" fn(*mut c_void);
    type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

    weak!(hmalloc_heaptrack_dlsym, "dlsym", Dlsym);

    /// The addresses of its functions: 0 before they are looked for, [`NONE`] if there are none.
    static REPORT: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    const NONE: usize = 1;
    const NAMES: [&CStr; 2] = [c"heaptrack_malloc", c"heaptrack_free"];

    /// A function of a library that is preloaded: a linker leaves none open that it does not know.
    #[inline(always)]
    fn function(at: usize) -> Option<usize> {
        let address = match REPORT[at].load(Relaxed) {
            0 => look_for(at),
            address => address,
        };
        (address != NONE).then_some(address)
    }

    #[cold]
    #[inline(never)]
    fn look_for(at: usize) -> usize {
        // So that this is not asked for again by what it allocates.
        REPORT[at].store(NONE, Relaxed);
        let found = linked!(hmalloc_heaptrack_dlsym).map_or(0, |find| {
            // SAFETY: all libraries, and a string.
            unsafe { find(core::ptr::null_mut(), NAMES[at].as_ptr()) }.addr()
        });
        let address = if found == 0 { NONE } else { found };
        REPORT[at].store(address, Relaxed);
        address
    }

    #[inline(always)]
    pub(super) fn allocated(block: *mut u8, size: usize) {
        if let Some(report) = function(0) {
            // SAFETY: heaptrack's function of this name, as its `heaptrack_api.h` declares it.
            unsafe { core::mem::transmute::<usize, ReportAlloc>(report)(block.cast(), size) }
        }
    }

    #[inline(always)]
    pub(super) fn freed(block: *mut u8) {
        if let Some(report) = function(1) {
            // SAFETY: as above.
            unsafe { core::mem::transmute::<usize, ReportFree>(report)(block.cast()) }
        }
    }
}
