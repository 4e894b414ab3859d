//! Starts a thread with the raw `clone` system call.
//!
//! The new thread returns from the call with its parent's registers, except for the stack pointer. It must not touch
//! the old stack, so it calls a function that never returns within the same block of assembly.

use core::arch::asm;
use syscalls::{Sysno, syscall};

/// `CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM`.
const FLAGS: usize = 0x5_0f00;

/// `CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND`, and SIGCHLD when it ends.
const TASK_FLAGS: usize = 0xf00 | 17;

/// The last argument becomes the thread's pointer.
const CLONE_SETTLS: usize = 0x8_0000;

/// Bytes above a function's stack pointer that some calling conventions need.
const RESERVE: usize = 256;

/// A new thread's stack, and its thread pointer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The upper end of the stack, a multiple of 16.
    pub(crate) top: *mut u8,
    /// The address that only this thread is to have as its thread pointer; or 0, and then it has its parent's. On x86 it
    /// has to be 0: the kernel wants a descriptor there.
    pub(crate) pointer: usize,
}

/// Runs `function(argument)` on a new thread. Returns whether it was started.
///
/// # Safety
///
/// Nothing else uses the stack of `place` while the thread lives.
pub(crate) unsafe fn start(place: Place, function: extern "C" fn(usize) -> !, argument: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { start_with(FLAGS, place, function, argument) > 0 }
}

/// Runs `function(argument)` in a task that shares this process's memory and is a process by itself. Returns its number.
///
/// # Safety
///
/// As for [`start`].
pub(crate) unsafe fn start_task(place: Place, function: extern "C" fn(usize) -> !, argument: usize) -> Option<usize> {
    // SAFETY: the caller's promise.
    let answer = unsafe { start_with(TASK_FLAGS, place, function, argument) };
    usize::try_from(answer).ok().filter(|number| *number > 0)
}

/// # Safety
///
/// As for [`start`].
unsafe fn start_with(flags: usize, place: Place, function: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let flags = if place.pointer == 0 { flags } else { flags | CLONE_SETTLS };
    let stack = place.top.wrapping_sub(RESERVE);
    let call = Call { number: Sysno::clone as usize, flags, pointer: place.pointer };
    // SAFETY: the caller's promise about the stack.
    unsafe { clone(call, stack, function, argument) }
}

/// Ends the calling thread, and only that.
pub(crate) fn exit() -> ! {
    loop {
        // SAFETY: nothing of the thread is used after this.
        let _ = unsafe { syscall!(Sysno::exit, 0) };
    }
}

/// What goes into the registers of the system call besides the stack.
struct Call {
    number: usize,
    flags: usize,
    pointer: usize,
}

#[cfg(target_arch = "x86_64")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: the child calls `f`; for the parent it is an ordinary system call.
    unsafe {
        asm!(
            "syscall", "test rax, rax", "jnz 2f",
            "xor ebp, ebp", "mov rdi, r12", "call r13", "ud2",
            "2:",
            inlateout("rax") call.number => answer, in("rdi") call.flags, in("rsi") stack, in("rdx") 0, in("r10") 0,
            in("r8") call.pointer,
            in("r12") argument, in("r13") f, out("rcx") _, out("r11") _,
        );
    }
    answer
}

#[cfg(target_arch = "x86")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64. Without `CLONE_SETTLS` the kernel ignores the other arguments.
    unsafe {
        asm!(
            "int 0x80", "test eax, eax", "jnz 2f",
            "xor ebp, ebp", "sub esp, 12", "push edx", "call edi", "ud2",
            "2:",
            inlateout("eax") call.number => answer, in("ebx") call.flags, in("ecx") stack, in("edx") argument, in("edi") f,
        );
    }
    answer
}

#[cfg(target_arch = "aarch64")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "svc #0", "cbnz x0, 2f",
            "mov x29, xzr", "mov x0, x20", "blr x21", "brk #1",
            "2:",
            inlateout("x0") call.flags => answer, in("x1") stack, in("x2") 0, in("x3") call.pointer, in("x4") 0,
            in("x8") call.number,
            in("x20") argument, in("x21") f,
        );
    }
    answer
}

#[cfg(target_arch = "arm")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "svc #0", "cmp r0, #0", "bne 2f",
            "mov r0, r5", "blx r8", "udf #0",
            "2:",
            inlateout("r0") call.flags => answer, in("r1") stack, in("r2") 0, in("r3") call.pointer, in("r4") 0,
            in("r7") call.number,
            in("r5") argument, in("r8") f,
        );
    }
    answer
}

#[cfg(target_arch = "riscv64")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "ecall", "bnez a0, 2f",
            "mv a0, s2", "jalr s3", "ebreak",
            "2:",
            inlateout("a0") call.flags => answer, in("a1") stack, in("a2") 0, in("a3") call.pointer, in("a4") 0,
            in("a7") call.number,
            in("s2") argument, in("s3") f,
        );
    }
    answer
}

#[cfg(target_arch = "loongarch64")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64. The kernel preserves no temporary register.
    unsafe {
        asm!(
            "syscall 0", "bnez $a0, 2f",
            "move $a0, $s2", "jirl $ra, $s3, 0", "break 0",
            "2:",
            inlateout("$a0") call.flags => answer, in("$a1") stack, in("$a2") 0, in("$a3") 0, in("$a4") call.pointer,
            in("$a7") call.number,
            in("$s2") argument, in("$s3") f,
            out("$t0") _, out("$t1") _, out("$t2") _, out("$t3") _, out("$t4") _, out("$t5") _, out("$t6") _,
            out("$t7") _, out("$t8") _,
        );
    }
    answer
}

/// On s390x the stack comes before the flags.
#[cfg(target_arch = "s390x")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "svc 0", "ltgr %r2, %r2", "jne 2f",
            "lgr %r2, %r8", "basr %r14, %r9", "j .+2",
            "2:",
            inlateout("r2") stack => answer, in("r3") call.flags, in("r4") 0, in("r5") 0, in("r6") call.pointer,
            in("r1") call.number,
            in("r8") argument, in("r9") f,
        );
    }
    answer
}

/// A failed call sets the summary overflow bit and returns a positive error number.
#[cfg(target_arch = "powerpc")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "sc", "bns 3f", "neg 3, 3", "b 2f",
            "3: cmpwi 3, 0", "bne 2f",
            "mr 3, 16", "mtctr 17", "bctrl", "trap",
            "2:",
            inlateout("r3") call.flags => answer, in("r16") argument, in("r17") f,
            inout("r0") call.number => _, inout("r4") stack => _, inout("r5") 0 => _, inout("r6") call.pointer => _,
            inout("r7") 0 => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
            out("cr0") _, out("ctr") _, out("xer") _,
        );
    }
    answer
}

/// As on 32 bits; a function of this ABI finds its own address in r12.
#[cfg(target_arch = "powerpc64")]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "sc", "bns 3f", "neg 3, 3", "b 2f",
            "3: cmpdi 3, 0", "bne 2f",
            "mr 3, 16", "mr 12, 17", "mtctr 12", "bctrl", "trap",
            "2:",
            inlateout("r3") call.flags => answer, in("r16") argument, in("r17") f,
            inout("r0") call.number => _, inout("r4") stack => _, inout("r5") 0 => _, inout("r6") call.pointer => _,
            inout("r7") 0 => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
            out("cr0") _, out("ctr") _, out("xer") _,
        );
    }
    answer
}

/// After a failed call $7 is not zero, and $2 is a positive error number. A function finds its own address in $25.
#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
unsafe fn clone(call: Call, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize) -> isize {
    let (answer, failed): (isize, usize);
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "syscall", "bnez $7, 2f", "nop", "bnez $2, 2f", "nop",
            "move $4, $16", "move $25, $17", "jalr $25", "nop", "break",
            "2:",
            inlateout("$2") call.number => answer, in("$4") call.flags, in("$5") stack, in("$6") 0,
            inlateout("$7") call.pointer => failed,
            in("$16") argument, in("$17") f,
            out("$3") _, out("$8") _, out("$9") _, out("$10") _, out("$11") _, out("$12") _, out("$13") _,
            out("$14") _, out("$15") _, out("$24") _, out("$25") _,
        );
    }
    if failed == 0 { answer } else { -answer }
}
