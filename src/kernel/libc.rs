//! What is used of a libc where one is linked. Every reference is weak.

use crate::kernel::parts::LIBC;
use core::ffi::{c_int, c_void};

/// A symbol that is only asked for, never called or read.
type Mark = core::ptr::NonNull<c_void>;

// One of these is in every program of the libc named behind it, however it is linked.
weak!(hmalloc_libc_start_main, "__libc_start_main", Mark); // glibc, musl
weak!(hmalloc_libc_errno, "__errno_location", Mark); // glibc, musl, uClibc, relibc
weak!(hmalloc_libc_init, "__libc_init", Mark); // bionic
weak!(hmalloc_libc_errno_bionic, "__errno", Mark); // bionic
weak!(hmalloc_libc_uclibc_main, "__uClibc_main", Mark); // uClibc
weak!(hmalloc_libc_relibc_start, "relibc_start", Mark); // relibc

/// Whether a libc is part of this program, of which more is used than that it [is there](is_there): not without the cargo feature
/// `libc`.
#[inline(always)]
pub(crate) fn is_linked() -> bool {
    LIBC && is_there()
}

/// Whether a libc is part of this program, and with it someone else who moves the break.
#[inline(never)]
pub(crate) fn is_there() -> bool {
    let marks = [
        linked!(hmalloc_libc_start_main),
        linked!(hmalloc_libc_errno),
        linked!(hmalloc_libc_init),
        linked!(hmalloc_libc_errno_bionic),
        linked!(hmalloc_libc_uclibc_main),
        linked!(hmalloc_libc_relibc_start),
    ];
    marks.iter().any(Option::is_some)
}

/// The calling thread's thread pointer: no other thread of a program with a libc has it, and a thread keeps it through
/// `fork`. 0 where it is not read: on other architectures than these, and by an interpreter, which has no registers.
///
/// # Safety
///
/// Each thread has a thread pointer, as in a program [with a libc](is_linked): without one, reading it on x86 and x86_64
/// may fault. On arm the kernel has its helpers for programs.
#[allow(unused, reason = "0 stays where no line below is for the architecture")]
#[inline(always)]
pub(crate) unsafe fn thread_pointer() -> usize {
    use core::arch::asm;
    let mut pointer = 0;
    // SAFETY: reads the thread pointer; on x86 and x86_64 through the word to which it points, which holds it by the ABI.
    #[cfg(all(not(miri), any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))))]
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly));
        #[cfg(target_arch = "x86")]
        asm!("mov {}, gs:0", out(reg) pointer, options(nostack, preserves_flags, readonly));
        #[cfg(target_arch = "aarch64")]
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem));
        #[cfg(target_arch = "arm")]
        (pointer = kernel_helper());
        #[cfg(target_arch = "riscv64")]
        asm!("mv {}, tp", out(reg) pointer, options(nostack, preserves_flags, nomem));
        #[cfg(target_arch = "loongarch64")]
        asm!("move {}, $tp", out(reg) pointer, options(nostack, preserves_flags, nomem));
        #[cfg(target_arch = "powerpc")]
        asm!("mr {}, 2", out(reg) pointer, options(nostack, preserves_flags, nomem));
        #[cfg(target_arch = "powerpc64")]
        asm!("mr {}, 13", out(reg) pointer, options(nostack, preserves_flags, nomem));
        #[cfg(target_arch = "s390x")]
        asm!("ear {0}, %a0", "sllg {0}, {0}, 32", "ear {0}, %a1", out(reg) pointer, options(nostack, nomem));
    }
    pointer
}

/// Bytes from what a libc keeps of a thread to its thread pointer: on the first of these architectures that begins at the
/// pointer, on the others it ends some way before it.
const BELOW_POINTER: usize = if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64")) {
    0x7000 + 4
} else if cfg!(any(target_arch = "riscv64", target_arch = "loongarch64")) {
    4
} else {
    0
};

/// Whether no thread has this thread pointer, for the memory to which it leads is not there: a libc keeps there what it knows of
/// the thread, and programs without one [promise](crate::Hmalloc::with_thread_pointers) that something is. On x86 and x86_64 the
/// word there is the pointer itself, so it is known of memory that is another's by now, too. False where that cannot be known.
#[cold]
pub(crate) fn is_unused_pointer(pointer: usize) -> bool {
    let below = if is_linked() { BELOW_POINTER } else { 0 };
    let word = if cfg!(any(target_arch = "x86", target_arch = "x86_64")) { Some(pointer as u32) } else { None };
    super::tasks::is_not_there(pointer.wrapping_sub(below) & !3, word)
}

/// The thread pointer on arm, from the code that the kernel maps for programs at a fixed address (`kuser_get_tls`).
///
/// Processors before ARMv6K have no register for it, and stable Rust does not tell a program which ones it is built for. The
/// call costs more than reading the register would, and is right on all of them.
///
/// # Safety
///
/// The kernel has mapped the code: all Linux kernels for arm do, but for those that were built without it
/// (`CONFIG_KUSER_HELPERS=n`), on which the call faults.
#[cfg(all(
    target_arch = "arm",
    not(miri),
    any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))
))]
#[inline(always)]
unsafe fn kernel_helper() -> usize {
    const GET_TLS: usize = 0xffff_0fe0;
    let code = core::ptr::with_exposed_provenance::<()>(GET_TLS);
    // SAFETY: a function of the procedure call standard stands there, without arguments and without effects.
    let get_tls = unsafe { core::mem::transmute::<*const (), extern "C" fn() -> usize>(code) };
    get_tls()
}

type Handler = extern "C" fn();
type RegisterAtfork = unsafe extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;
type PthreadAtfork = unsafe extern "C" fn(Handler, Handler, Handler) -> c_int;

weak!(hmalloc_libc_register_atfork, "__register_atfork", RegisterAtfork);
weak!(hmalloc_libc_pthread_atfork, "pthread_atfork", PthreadAtfork);
weak!(hmalloc_libc_dso_handle, "__dso_handle", Mark);

/// Has the handlers called around each `fork`: `before` it, and after it in the `parent` and in the `child`.
pub(crate) fn at_fork(before: Handler, parent: Handler, child: Handler) {
    if !LIBC {
        return;
    }
    // glibc's own entry first: the other one is in its static part, which a weak reference does not bring in.
    if let Some(register) = linked!(hmalloc_libc_register_atfork) {
        let library = linked!(hmalloc_libc_dso_handle).map_or(core::ptr::null(), |handle| handle.as_ptr());
        // SAFETY: glibc forgets the handlers when the library of this handle is unloaded; null is for those that never
        // are. Running out of memory for more handlers is the only failure, and glibc has room for 48 without any.
        unsafe { register(before, parent, child, library) };
    } else if let Some(register) = linked!(hmalloc_libc_pthread_atfork) {
        // SAFETY: other libcs do not unload libraries.
        unsafe { register(before, parent, child) };
    }
}

type AtQuickExit = unsafe extern "C" fn(Handler) -> c_int;
type RegisterAtQuickExit = unsafe extern "C" fn(Handler, *const c_void) -> c_int;

weak!(hmalloc_libc_at_quick_exit, "at_quick_exit", AtQuickExit);
weak!(hmalloc_libc_cxa_at_quick_exit, "__cxa_at_quick_exit", RegisterAtQuickExit);

/// Has a function called by `quick_exit`.
pub(crate) fn at_quick_exit(handler: Handler) {
    // glibc's own entry first, as above.
    if let Some(register) = linked!(hmalloc_libc_cxa_at_quick_exit) {
        let library = linked!(hmalloc_libc_dso_handle).map_or(core::ptr::null(), |handle| handle.as_ptr());
        // SAFETY: as for forks; it ignores the argument that it gets.
        unsafe { register(handler, library) };
    } else if let Some(register) = linked!(hmalloc_libc_at_quick_exit) {
        // SAFETY: as above.
        unsafe { register(handler) };
    }
}

type AtExit = extern "C" fn(*mut c_void);
type RegisterAtExit = unsafe extern "C" fn(AtExit, *mut c_void, *const c_void) -> c_int;

weak!(hmalloc_libc_at_exit, "__cxa_atexit", RegisterAtExit);

/// Has `call` called with `argument` when the process exits, or the library is unloaded that this is in. glibc, musl and
/// bionic have that, for C++. Without a libc nothing happens.
pub(crate) fn at_exit(call: AtExit, argument: *mut c_void) {
    if let Some(register) = linked!(hmalloc_libc_at_exit) {
        let library = linked!(hmalloc_libc_dso_handle).map_or(core::ptr::null(), |handle| handle.as_ptr());
        // SAFETY: the function takes any call and argument. Running out of memory is the only failure: nothing is said then.
        unsafe { register(call, argument, library) };
    }
}

weak!(hmalloc_libc_list_lock, "_IO_list_lock", Handler);
weak!(hmalloc_libc_list_unlock, "_IO_list_unlock", Handler);
weak!(hmalloc_libc_list_reset, "_IO_list_resetlock", Handler);

/// Takes glibc's lock on its list of streams, which `fork` takes, too, but after its handlers have run. A thread may
/// take that lock more than once.
pub(crate) fn lock_streams() {
    if LIBC
        && let (Some(lock), Some(_), Some(_)) =
            (linked!(hmalloc_libc_list_lock), linked!(hmalloc_libc_list_unlock), linked!(hmalloc_libc_list_reset))
    {
        lock();
    }
}

/// Unlocks what [`lock_streams`] has locked.
pub(crate) fn unlock_streams() {
    if LIBC
        && let (Some(_), Some(unlock), Some(_)) =
            (linked!(hmalloc_libc_list_lock), linked!(hmalloc_libc_list_unlock), linked!(hmalloc_libc_list_reset))
    {
        unlock();
    }
}

/// Makes the lock free in the child of a `fork`, however often it was taken before.
pub(crate) fn reset_streams() {
    if let Some(reset) = linked!(hmalloc_libc_list_reset) {
        reset();
    }
}
