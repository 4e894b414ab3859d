//! Thread pointers: what a thread has at the address, and the address as each architecture keeps it.

use core::arch::asm;
use core::cell::UnsafeCell;

/// What a thread pointer leads to. On x86 and x86_64 the first word is the address itself, by the ABI, so that it can be
/// read.
#[repr(C, align(64))]
pub(crate) struct Block(UnsafeCell<usize>);

// SAFETY: written before its thread is started, and only read afterwards.
unsafe impl Sync for Block {}

impl Block {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    /// Prepares the block for a thread, and returns what the call that starts the thread makes its pointer: the block's
    /// address; or 0 on x86, where the kernel wants a descriptor there.
    ///
    /// # Safety
    ///
    /// No living thread has the block.
    pub(crate) unsafe fn prepare(&'static self) -> usize {
        let address = self.0.get().expose_provenance();
        // SAFETY: the caller's promise.
        unsafe { self.0.get().write(address) };
        if WITH_CLONE { address } else { 0 }
    }

    /// Gives the calling thread, for which the block was [prepared](Self::prepare), its address as the pointer, unless it
    /// was started with that. Returns whether the thread has it.
    pub(crate) fn enter(&'static self) -> bool {
        let own = self.0.get().addr();
        // SAFETY: the thread was started with it, or `set` has just made it the thread's.
        (WITH_CLONE || set(own)) && unsafe { current() } == own
    }
}

/// Whether a thread gets its pointer with the call that starts it. If not, the thread [sets](set) it.
const WITH_CLONE: bool = !cfg!(target_arch = "x86");

/// Gives the calling thread its pointer, by a descriptor. Returns whether the kernel has taken it.
///
/// The kernel has a table of descriptors for each thread, QEMU one for all: so all use the same entry, one after the other.
/// A thread keeps what it has loaded from there.
#[cfg(target_arch = "x86")]
fn set(pointer: usize) -> bool {
    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    /// A segment of 32 bits and of all addresses, whose limit counts pages, for the program's use.
    const FLAGS: u32 = 0x51;
    static BUSY: AtomicBool = AtomicBool::new(false);
    static ENTRY: AtomicU32 = AtomicU32::new(u32::MAX);
    while BUSY.swap(true, Ordering::Acquire) {}
    let mut descriptor = [ENTRY.load(Ordering::Relaxed), pointer as u32, 0xf_ffff, FLAGS];
    // SAFETY: the kernel reads a descriptor, and writes the number of the entry that it has chosen; the segment's start is
    // readable.
    let is_set = unsafe {
        let set = syscalls::syscall!(syscalls::Sysno::set_thread_area, descriptor.as_mut_ptr()).is_ok();
        if set {
            asm!("mov gs, {0:e}", in(reg) descriptor[0] * 8 + 3, options(nostack, preserves_flags));
        }
        set
    };
    ENTRY.store(descriptor[0], Ordering::Relaxed);
    BUSY.store(false, Ordering::Release);
    is_set
}

/// Not needed: [`WITH_CLONE`].
#[cfg(not(target_arch = "x86"))]
fn set(_: usize) -> bool {
    false
}

/// The calling thread's pointer.
///
/// # Safety
///
/// The thread has one that leads to a [`Block`].
unsafe fn current() -> usize {
    let pointer: usize;
    // SAFETY: reads the pointer; on x86 and x86_64 through the word that it leads to.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "x86")]
        asm!("mov {}, gs:0", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "arm")]
        asm!("mrc p15, 0, {}, c13, c0, 3", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "riscv64")]
        asm!("mv {}, tp", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "loongarch64")]
        asm!("move {}, $tp", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "powerpc")]
        asm!("mr {}, 2", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "powerpc64")]
        asm!("mr {}, 13", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "s390x")]
        asm!("ear {0}, %a0", "sllg {0}, {0}, 32", "ear {0}, %a1", out(reg) pointer, options(nostack));
        #[cfg(any(target_arch = "mips", target_arch = "mips64"))]
        asm!(".set push", ".set mips32r2", "rdhwr $3, $29", ".set pop", out("$3") pointer, options(nostack));
    }
    pointer
}
