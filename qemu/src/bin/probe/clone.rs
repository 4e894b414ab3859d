//! Starts a thread with the raw `clone` system call.
//!
//! The new thread returns from the call with its parent's registers, except for the stack pointer. It must not touch
//! the old stack, so it calls a function that never returns within the same block of assembly.

use core::arch::asm;
use syscalls::Sysno;

/// `CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM`.
const FLAGS: usize = 0x5_0f00;

/// Bytes above a function's stack pointer that some calling conventions need.
const RESERVE: usize = 256;

/// Runs `function(argument)` on a new thread. Returns whether it was started.
///
/// # Safety
///
/// `top` is the upper end, a multiple of 16, of a stack that nothing else uses while the thread lives.
pub(crate) unsafe fn start(top: *mut u8, function: extern "C" fn(usize) -> !, argument: usize) -> bool {
    // SAFETY: the caller's promise about the stack.
    let answer = unsafe { clone(FLAGS, top.wrapping_sub(RESERVE), function, argument, Sysno::clone as usize) };
    answer > 0
}

#[cfg(target_arch = "x86_64")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: the child calls `f`; for the parent it is an ordinary system call.
    unsafe {
        asm!(
            "syscall", "test rax, rax", "jnz 2f",
            "xor ebp, ebp", "mov rdi, r12", "call r13", "ud2",
            "2:",
            inlateout("rax") call => answer, in("rdi") flags, in("rsi") stack, in("rdx") 0, in("r10") 0, in("r8") 0,
            in("r12") argument, in("r13") f, out("rcx") _, out("r11") _,
        );
    }
    answer
}

#[cfg(target_arch = "x86")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64. With these flags the kernel ignores the other arguments.
    unsafe {
        asm!(
            "int 0x80", "test eax, eax", "jnz 2f",
            "xor ebp, ebp", "sub esp, 12", "push edx", "call edi", "ud2",
            "2:",
            inlateout("eax") call => answer, in("ebx") flags, in("ecx") stack, in("edx") argument, in("edi") f,
        );
    }
    answer
}

#[cfg(target_arch = "aarch64")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "svc #0", "cbnz x0, 2f",
            "mov x29, xzr", "mov x0, x20", "blr x21", "brk #1",
            "2:",
            inlateout("x0") flags => answer, in("x1") stack, in("x2") 0, in("x3") 0, in("x4") 0, in("x8") call,
            in("x20") argument, in("x21") f,
        );
    }
    answer
}

#[cfg(target_arch = "arm")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "svc #0", "cmp r0, #0", "bne 2f",
            "mov r0, r5", "blx r8", "udf #0",
            "2:",
            inlateout("r0") flags => answer, in("r1") stack, in("r2") 0, in("r3") 0, in("r4") 0, in("r7") call,
            in("r5") argument, in("r8") f,
        );
    }
    answer
}

#[cfg(target_arch = "riscv64")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "ecall", "bnez a0, 2f",
            "mv a0, s2", "jalr s3", "ebreak",
            "2:",
            inlateout("a0") flags => answer, in("a1") stack, in("a2") 0, in("a3") 0, in("a4") 0, in("a7") call,
            in("s2") argument, in("s3") f,
        );
    }
    answer
}

#[cfg(target_arch = "loongarch64")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64. The kernel preserves no temporary register.
    unsafe {
        asm!(
            "syscall 0", "bnez $a0, 2f",
            "move $a0, $s2", "jirl $ra, $s3, 0", "break 0",
            "2:",
            inlateout("$a0") flags => answer, in("$a1") stack, in("$a2") 0, in("$a3") 0, in("$a4") 0, in("$a7") call,
            in("$s2") argument, in("$s3") f,
            out("$t0") _, out("$t1") _, out("$t2") _, out("$t3") _, out("$t4") _, out("$t5") _, out("$t6") _,
            out("$t7") _, out("$t8") _,
        );
    }
    answer
}

/// On s390x the stack comes before the flags.
#[cfg(target_arch = "s390x")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "svc 0", "ltgr %r2, %r2", "jne 2f",
            "lgr %r2, %r8", "basr %r14, %r9", "j .+2",
            "2:",
            inlateout("r2") stack => answer, in("r3") flags, in("r4") 0, in("r5") 0, in("r6") 0, in("r1") call,
            in("r8") argument, in("r9") f,
        );
    }
    answer
}

/// A failed call sets the summary overflow bit and returns a positive error number.
#[cfg(target_arch = "powerpc")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "sc", "bns 3f", "neg 3, 3", "b 2f",
            "3: cmpwi 3, 0", "bne 2f",
            "mr 3, 16", "mtctr 17", "bctrl", "trap",
            "2:",
            inlateout("r3") flags => answer, in("r16") argument, in("r17") f,
            inout("r0") call => _, inout("r4") stack => _, inout("r5") 0 => _, inout("r6") 0 => _, inout("r7") 0 => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
            out("cr0") _, out("ctr") _, out("xer") _,
        );
    }
    answer
}

/// As on 32 bits; a function of this ABI finds its own address in r12.
#[cfg(target_arch = "powerpc64")]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let answer;
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "sc", "bns 3f", "neg 3, 3", "b 2f",
            "3: cmpdi 3, 0", "bne 2f",
            "mr 3, 16", "mr 12, 17", "mtctr 12", "bctrl", "trap",
            "2:",
            inlateout("r3") flags => answer, in("r16") argument, in("r17") f,
            inout("r0") call => _, inout("r4") stack => _, inout("r5") 0 => _, inout("r6") 0 => _, inout("r7") 0 => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
            out("cr0") _, out("ctr") _, out("xer") _,
        );
    }
    answer
}

/// After a failed call $7 is not zero, and $2 is a positive error number. A function finds its own address in $25.
#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
unsafe fn clone(flags: usize, stack: *mut u8, f: extern "C" fn(usize) -> !, argument: usize, call: usize) -> isize {
    let (answer, failed): (isize, usize);
    // SAFETY: as for x86_64.
    unsafe {
        asm!(
            "syscall", "bnez $7, 2f", "nop", "bnez $2, 2f", "nop",
            "move $4, $16", "move $25, $17", "jalr $25", "nop", "break",
            "2:",
            inlateout("$2") call => answer, in("$4") flags, in("$5") stack, in("$6") 0, inlateout("$7") 0usize => failed,
            in("$16") argument, in("$17") f,
            out("$3") _, out("$8") _, out("$9") _, out("$10") _, out("$11") _, out("$12") _, out("$13") _,
            out("$14") _, out("$15") _, out("$24") _, out("$25") _,
        );
    }
    if failed == 0 { answer } else { -answer }
}
