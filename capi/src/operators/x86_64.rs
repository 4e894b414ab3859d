//! The entries of the operators on x86_64, and the two functions that an exception may pass.

use super::{delete, delete_aligned, delete_array, delete_array_aligned, new_handler, try_new, try_new_aligned};
use super::{new_aligned_nothrow, new_array_aligned_nothrow, new_array_nothrow, new_nothrow};
use crate::cxx::prepare_throw;
use core::ffi::c_void;

unsafe extern "C" {
    /// Calls the function at `address` with two arguments. Null if that throws, whatever it is.
    ///
    /// # Safety
    ///
    /// A function of two such arguments, or fewer, is there, and may be called.
    #[link_name = "hmalloc_c_guarded"]
    pub(super) fn guarded(address: usize, size: usize, align: usize) -> *mut c_void;
}

/// A function of the C++ ABI's name `$name`, also known as `$own`, which is `$body`.
macro_rules! entry {
    ($name:literal, $own:literal, $($body:literal),* $(; $($operand:tt)*)?) => {
        core::arch::global_asm!(
            concat!(".pushsection .text.", $name, ", \"ax\", %progbits"),
            concat!(".globl ", $name),
            concat!(".type ", $name, ", %function"),
            ".balign 16",
            concat!($name, ":"),
            concat!($own, ":"),
            ".cfi_startproc",
            $($body,)*
            ".cfi_endproc",
            concat!(".size ", $name, ", . - ", $name),
            ".popsection",
            $($($operand)*)?
        );
    };
}

// Here and at `new_aligned` the arguments are kept for the second try.
entry!("_Znwm", "hmalloc_c_new",
    "push rdi",
    ".cfi_adjust_cfa_offset 8",
    "call {try_new}",
    "pop rdi",
    ".cfi_adjust_cfa_offset -8",
    "test rax, rax",
    "jz 2f",
    "ret",
    "2: mov esi, 1",
    "jmp hmalloc_c_new_aligned";
    try_new = sym try_new);

// Tries, asks the new-handler, and tries again, until there is a block or the exception passes.
entry!("_ZnwmSt11align_val_t", "hmalloc_c_new_aligned",
    "push rbx",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_rel_offset rbx, 0",
    "push r12",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_rel_offset r12, 0",
    "sub rsp, 40",
    ".cfi_adjust_cfa_offset 40",
    "mov rbx, rdi",
    "mov r12, rsi",
    "2: mov rdi, rbx",
    "mov rsi, r12",
    "call {try_new_aligned}",
    "test rax, rax",
    "jnz 3f",
    "mov rdi, r12",
    "call {new_handler}",
    "test rax, rax",
    "jz 4f",
    "call rax",
    "jmp 2b",
    "3: add rsp, 40",
    ".cfi_remember_state",
    ".cfi_adjust_cfa_offset -40",
    "pop r12",
    ".cfi_adjust_cfa_offset -8",
    ".cfi_restore r12",
    "pop rbx",
    ".cfi_adjust_cfa_offset -8",
    ".cfi_restore rbx",
    "ret",
    ".cfi_restore_state",
    // Four words on the stack: a function that throws, and its arguments.
    "4: mov rdi, rsp",
    "mov rsi, rbx",
    "call {prepare_throw}",
    "mov rdi, [rsp + 8]",
    "mov rsi, [rsp + 16]",
    "mov rdx, [rsp + 24]",
    "call [rsp]",
    "ud2";
    try_new_aligned = sym try_new_aligned, new_handler = sym new_handler, prepare_throw = sym prepare_throw);

entry!("_Znam", "hmalloc_c_new_array", "jmp [rip + hmalloc_c_bases]");
entry!("_ZnamSt11align_val_t", "hmalloc_c_new_array_aligned", "jmp [rip + hmalloc_c_bases + 32]");
entry!("_ZnwmRKSt9nothrow_t", "hmalloc_c_new_nothrow", "jmp {to}"; to = sym new_nothrow);
entry!("_ZnamRKSt9nothrow_t", "hmalloc_c_new_array_nothrow", "jmp {to}"; to = sym new_array_nothrow);
entry!("_ZnwmSt11align_val_tRKSt9nothrow_t", "hmalloc_c_new_aligned_nothrow", "jmp {to}"; to = sym new_aligned_nothrow);
entry!("_ZnamSt11align_val_tRKSt9nothrow_t", "hmalloc_c_new_array_aligned_nothrow", "jmp {to}"; to = sym new_array_aligned_nothrow);
entry!("_ZdlPv", "hmalloc_c_delete", "jmp {to}"; to = sym delete);
entry!("_ZdaPv", "hmalloc_c_delete_array", "jmp {to}"; to = sym delete_array);
entry!("_ZdlPvSt11align_val_t", "hmalloc_c_delete_aligned", "jmp {to}"; to = sym delete_aligned);
entry!("_ZdaPvSt11align_val_t", "hmalloc_c_delete_array_aligned", "jmp {to}"; to = sym delete_array_aligned);

core::arch::global_asm!(
    ".pushsection .text.hmalloc_c_guarded, \"ax\", %progbits",
    ".globl hmalloc_c_guarded",
    ".hidden hmalloc_c_guarded",
    ".type hmalloc_c_guarded, %function",
    ".balign 16",
    "hmalloc_c_guarded:",
    ".cfi_startproc",
    ".cfi_personality 0x9b, hmalloc_c_personality",
    ".cfi_lsda 0x1b, hmalloc_c_lsda",
    "sub rsp, 8",
    ".cfi_adjust_cfa_offset 8",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "hmalloc_c_guarded_call:",
    "call rax",
    "hmalloc_c_guarded_called:",
    "2: add rsp, 8",
    ".cfi_remember_state",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    ".cfi_restore_state",
    // The C++ library comes here with the exception.
    "hmalloc_c_guarded_caught:",
    "mov rdi, rax",
    "call {caught}",
    "xor eax, eax",
    "jmp 2b",
    ".cfi_endproc",
    ".size hmalloc_c_guarded, . - hmalloc_c_guarded",
    ".popsection",
    caught = sym crate::cxx::caught,
);
