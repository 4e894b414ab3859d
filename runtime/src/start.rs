//! Where the kernel enters a program: `_start`, and the way from there to the program's main function.
//!
//! The kernel leaves the arguments on the stack. Each `_start` passes the stack pointer on as an ordinary argument, and
//! aligns the stack as the architecture's calling convention requires.

use crate::process::{self, Process};
use core::arch::global_asm;

// A static position-independent program has no loader: it adds its load address to its own pointers. The linker leaves
// a table of them (`DT_RELA`, tag 7; its length in bytes is `DT_RELASZ`, tag 8), whose records are: place, type 8 (add
// the load address), addend. A program linked at a fixed address has no `_DYNAMIC`, so its weak address is 0. This is
// assembly because compiled code may use the very pointers that are not right yet.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    ".weak _DYNAMIC",
    ".hidden _DYNAMIC",
    ".weak __ehdr_start",
    ".hidden __ehdr_start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "lea rdx, [rip + _DYNAMIC]",
    "test rdx, rdx",
    "jz 6f",
    "lea rsi, [rip + __ehdr_start]",
    "xor ecx, ecx",
    "xor r8d, r8d",
    // Find the table.
    "2: mov rax, [rdx]",
    "mov r9, [rdx + 8]",
    "add rdx, 16",
    "cmp rax, 7",
    "cmove rcx, r9",
    "cmp rax, 8",
    "cmove r8, r9",
    "test rax, rax",
    "jnz 2b",
    "add rcx, rsi",
    "add r8, rcx",
    // Apply its records.
    "4: cmp rcx, r8",
    "jae 6f",
    "cmp dword ptr [rcx + 8], 8",
    "jne 7f",
    "mov rax, [rcx]",
    "mov r9, [rcx + 16]",
    "add r9, rsi",
    "mov [rsi + rax], r9",
    "add rcx, 24",
    "jmp 4b",
    "6: call {entry}",
    "7: ud2",
    entry = sym entry,
);

#[cfg(target_arch = "x86")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov eax, esp",
    "and esp, -16",
    "sub esp, 12",
    "push eax",
    "call {entry}",
    "ud2",
    entry = sym entry,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "and sp, x0, #0xfffffffffffffff0",
    "bl {entry}",
    "brk #1",
    entry = sym entry,
);

#[cfg(target_arch = "arm")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov fp, #0",
    "mov lr, #0",
    "mov r0, sp",
    "bic r1, r0, #15",
    "mov sp, r1",
    "bl {entry}",
    "udf #0",
    entry = sym entry,
);

// `gp` is set because a linker that relaxes addresses may rely on it.
#[cfg(target_arch = "riscv64")]
global_asm!(
    ".globl _start",
    "_start:",
    ".option push",
    ".option norelax",
    ".weak __global_pointer$",
    "lla gp, __global_pointer$",
    ".option pop",
    "mv a0, sp",
    "andi sp, sp, -16",
    "call {entry}",
    "ebreak",
    entry = sym entry,
);

#[cfg(target_arch = "loongarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "move $fp, $zero",
    "move $a0, $sp",
    "bstrins.d $sp, $zero, 3, 0",
    "bl {entry}",
    "break 0",
    entry = sym entry,
);

#[cfg(target_arch = "s390x")]
global_asm!(
    ".globl _start",
    "_start:",
    "lgr %r2, %r15",
    "aghi %r15, -160",
    "xc 0(8,%r15), 0(%r15)",
    "brasl %r14, {entry}",
    "j .+2",
    entry = sym entry,
);

#[cfg(target_arch = "powerpc")]
global_asm!(
    ".globl _start",
    "_start:",
    "mr 3, 1",
    "clrrwi 1, 1, 4",
    "li 0, 0",
    "stwu 1, -16(1)",
    "mtlr 0",
    "stw 0, 0(1)",
    "bl {entry}",
    "trap",
    entry = sym entry,
);

// The second ELF ABI (little-endian Linux): r12 holds the address of `_start`, from which r2 is computed.
#[cfg(target_arch = "powerpc64")]
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "addis 2, 12, .TOC.-_start@ha",
    "addi 2, 2, .TOC.-_start@l",
    "mr 3, 1",
    "clrrdi 1, 1, 4",
    "li 0, 0",
    "stdu 0, -32(1)",
    "mtlr 0",
    "bl {entry}",
    "nop",
    "trap",
    entry = sym entry,
);

// Called through $25, where functions of this ABI may expect their own address.
#[cfg(target_arch = "mips")]
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "move $fp, $zero",
    "move $a0, $sp",
    "li $t0, -16",
    "and $sp, $sp, $t0",
    "addiu $sp, $sp, -16",
    "lui $t9, %hi({entry})",
    "addiu $t9, $t9, %lo({entry})",
    "jalr $t9",
    "nop",
    "break",
    entry = sym entry,
);

#[cfg(target_arch = "mips64")]
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "move $fp, $zero",
    "move $a0, $sp",
    "li $t0, -16",
    "and $sp, $sp, $t0",
    "lui $t9, %highest({entry})",
    "daddiu $t9, $t9, %higher({entry})",
    "dsll $t9, $t9, 16",
    "daddiu $t9, $t9, %hi({entry})",
    "dsll $t9, $t9, 16",
    "daddiu $t9, $t9, %lo({entry})",
    "jalr $t9",
    "nop",
    "break",
    entry = sym entry,
);

unsafe extern "Rust" {
    /// Defined by [`program!`](crate::program).
    fn hmalloc_program(process: Process) -> i32;
}

/// The first Rust code of the process.
///
/// # Safety
///
/// `stack` is what the kernel left in the stack pointer, and `_start` is the only caller.
unsafe extern "C" fn entry(stack: *const usize) -> ! {
    // SAFETY: `stack` points at the argument count, as the kernel lays it out.
    let process = unsafe { Process::from_stack(stack) };
    process::block_broken_pipe_signal();
    // SAFETY: `program!` defines it, with this signature.
    let status = unsafe { hmalloc_program(process) };
    process::exit(status)
}
