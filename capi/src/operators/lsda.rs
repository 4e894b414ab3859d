//! The tables beside the entries: which operators are in effect, and what the C++ library is told of exceptions.
//!
//! An exception passes two functions of `entry`. One, in which `new` calls the new-handler or throws, has nothing to clean up:
//! its unwind information is enough. The other, `hmalloc_c_guarded`, catches everything, and says so in the table below, in the
//! form of the Itanium C++ ABI.

core::arch::global_asm!(
    // The first of each pair is what the linker or the loader finds under the name, the second is this library's own.
    ".pushsection .data.rel.ro.hmalloc_c_bases, \"aw\"",
    ".balign 8",
    ".globl hmalloc_c_bases",
    ".hidden hmalloc_c_bases",
    "hmalloc_c_bases:",
    ".quad _Znwm, hmalloc_c_new",
    ".quad _Znam, hmalloc_c_new_array",
    ".quad _ZnwmSt11align_val_t, hmalloc_c_new_aligned",
    ".quad _ZnamSt11align_val_t, hmalloc_c_new_array_aligned",
    ".quad _ZdlPv, hmalloc_c_delete",
    ".quad _ZdaPv, hmalloc_c_delete_array",
    ".quad _ZdlPvSt11align_val_t, hmalloc_c_delete_aligned",
    ".quad _ZdaPvSt11align_val_t, hmalloc_c_delete_array_aligned",
    ".popsection",
    // The function that asks the tables which exceptions are caught. Null without a C++ library; `cxx` fills it in when
    // one was loaded later.
    ".weak __gxx_personality_v0",
    ".pushsection .data.hmalloc_c_personality, \"aw\"",
    ".balign 8",
    ".globl hmalloc_c_personality",
    ".hidden hmalloc_c_personality",
    "hmalloc_c_personality:",
    ".quad __gxx_personality_v0",
    ".popsection",
    ".pushsection .gcc_except_table.hmalloc_c_guarded, \"a\", %progbits",
    ".balign 4",
    "hmalloc_c_lsda:",
    ".byte 0xff", // landing pads are relative to the function's start
    ".byte 0x9b", // types: indirect, relative to their place, four bytes
    ".uleb128 hmalloc_c_lsda_end - hmalloc_c_lsda_types",
    "hmalloc_c_lsda_types:",
    ".byte 0x03", // places in the code: four bytes
    ".uleb128 hmalloc_c_lsda_calls_end - hmalloc_c_lsda_calls",
    "hmalloc_c_lsda_calls:",
    ".4byte hmalloc_c_guarded_call - hmalloc_c_guarded",
    ".4byte hmalloc_c_guarded_called - hmalloc_c_guarded_call",
    ".4byte hmalloc_c_guarded_caught - hmalloc_c_guarded",
    ".uleb128 1", // the first action
    "hmalloc_c_lsda_calls_end:",
    ".byte 1, 0", // it catches the first type, and there is no other action
    ".balign 4",
    ".4byte 0", // the first type: any
    "hmalloc_c_lsda_end:",
    ".popsection",
);
