//! C++'s `operator new` and `operator delete`, all twenty.
//!
//! They do what the standard says of the default ones. A program may replace any of them, and those that it leaves alone call
//! the ones that it has replaced: `delete[]` calls `delete`, the sized `delete` calls the unsized one, the nothrow `new` calls
//! the one that throws. Where none is replaced each goes straight to the heap, and a size or an alignment is checked.
//!
//! The entries and what may see an exception pass are assembly (`entry`), because Rust that cannot unwind must not be passed by
//! one. They are written for x86_64. On other architectures a C++ library's own operators stay in place: they call `malloc` and
//! `free`.

#[path = "operators/x86_64.rs"]
mod entry;
mod lsda;

use crate::cxx;
use crate::request::{self, ALIGN};
use core::ffi::c_void;
use core::ptr::null_mut;
use entry::guarded;

/// Whom the messages name.
const DELETE: &str = "operator delete";
const DELETE_ARRAY: &str = "operator delete[]";

/// The eight operators that others call, in the order of [`hmalloc_c_bases`].
#[derive(Clone, Copy)]
enum Base {
    New,
    NewArray,
    NewAligned,
    NewArrayAligned,
    Delete,
    DeleteArray,
    DeleteAligned,
    DeleteArrayAligned,
}

unsafe extern "C" {
    /// For each base the operator in effect, and the one of this library.
    #[link_name = "hmalloc_c_bases"]
    static BASES: [[usize; 2]; 8];
}

/// The operator in effect.
fn address(base: Base) -> usize {
    // SAFETY: the table is in `lsda.rs`. Volatile, for the linker or the loader fills it behind the compiler's back.
    unsafe { (&raw const BASES[base as usize][0]).read_volatile() }
}

/// The operator in effect, if the program has replaced this library's.
fn replaced(base: Base) -> Option<usize> {
    let current = address(base);
    // SAFETY: as above.
    let own = unsafe { (&raw const BASES[base as usize][1]).read_volatile() };
    (current != own).then_some(current)
}

/// A block, or null. Called by the entry of `new`.
extern "C" fn try_new(size: usize) -> *mut c_void {
    request::try_allocate(ALIGN, size)
}

/// The same at an alignment, which the C++ program vouches for: one that is no power of two is not served.
extern "C" fn try_new_aligned(size: usize, align: usize) -> *mut c_void {
    if align.is_power_of_two() { request::try_allocate(align.max(ALIGN), size) } else { null_mut() }
}

/// The function that a `new` calls when there is no memory, before it tries again: the program's new-handler. Null: it throws.
extern "C" fn new_handler(align: usize) -> usize {
    // No handler can make another alignment of it.
    if align.is_power_of_two() { cxx::new_handler() } else { 0 }
}

/// A block, or null instead of an exception. `bases` are the operators that this one is defined by, the nearest first.
fn new_or_null(bases: &[Base], size: usize, align: usize) -> *mut c_void {
    let replaced = bases.iter().any(|&base| replaced(base).is_some());
    if !replaced {
        let block = try_new_aligned(size, align);
        // Without a C++ library there is no handler to ask and nothing to catch.
        if !block.is_null() || !cxx::can_catch() {
            return block;
        }
    }
    // SAFETY: an operator `new` of these arguments (one without an alignment ignores that).
    unsafe { guarded(address(bases[0]), size, align) }
}

extern "C" fn new_nothrow(size: usize) -> *mut c_void {
    new_or_null(&[Base::New], size, ALIGN)
}

extern "C" fn new_array_nothrow(size: usize) -> *mut c_void {
    new_or_null(&[Base::NewArray, Base::New], size, ALIGN)
}

extern "C" fn new_aligned_nothrow(size: usize, align: usize) -> *mut c_void {
    new_or_null(&[Base::NewAligned], size, align)
}

extern "C" fn new_array_aligned_nothrow(size: usize, align: usize) -> *mut c_void {
    new_or_null(&[Base::NewArrayAligned, Base::NewAligned], size, align)
}

/// Has a replaced operator of `bases` free the block. False if there is none.
///
/// # Safety
///
/// The block is the caller's to give.
#[inline(always)]
unsafe fn free_by_program(bases: &[Base], block: *mut c_void, align: usize) -> bool {
    let Some(address) = bases.iter().find_map(|&base| replaced(base)) else { return false };
    // SAFETY: an operator `delete` of these arguments (one without an alignment ignores that), which does not throw.
    unsafe {
        let delete = core::mem::transmute::<usize, unsafe extern "C" fn(*mut c_void, usize)>(address);
        delete(block, align);
    }
    true
}

const PLAIN: &[Base] = &[Base::Delete];
const ARRAY: &[Base] = &[Base::DeleteArray, Base::Delete];
const ALIGNED: &[Base] = &[Base::DeleteAligned];
const ARRAY_ALIGNED: &[Base] = &[Base::DeleteArrayAligned, Base::DeleteAligned];

// SAFETY (of every `no_mangle` here): the names are those that the C++ ABI gives to the operators, for libraries to define.
// SAFETY (of every block here): the caller of a `delete` is done with the block.

/// `operator delete(void *)`, behind its entry.
unsafe extern "C" fn delete(block: *mut c_void) {
    // SAFETY: see above.
    unsafe { request::free_of_align(DELETE, block, ALIGN) }
}

/// `operator delete[](void *)`, behind its entry. Null goes the same way, for a program's `delete` may count it.
unsafe extern "C" fn delete_array(block: *mut c_void) {
    // SAFETY: see above.
    unsafe {
        if !free_by_program(PLAIN, block, ALIGN) {
            request::free_of_align(DELETE_ARRAY, block, ALIGN);
        }
    }
}

/// `operator delete(void *, align_val_t)`, behind its entry.
unsafe extern "C" fn delete_aligned(block: *mut c_void, align: usize) {
    // SAFETY: see above.
    unsafe { request::free_aligned(DELETE, block, align) }
}

/// `operator delete[](void *, align_val_t)`, behind its entry.
unsafe extern "C" fn delete_array_aligned(block: *mut c_void, align: usize) {
    // SAFETY: see above.
    unsafe {
        if !free_by_program(ALIGNED, block, align) {
            request::free_aligned(DELETE_ARRAY, block, align);
        }
    }
}

/// Defines the operators that no other calls: each frees by the ones that it is defined by if the program has replaced one of
/// them, else by itself.
macro_rules! deletes {
    ($($(#[$comment:meta])* $name:ident($bases:ident, $($argument:ident: $kind:ty),*; $block:ident, $align:expr) $free:expr;)*) => {
        $(
            $(#[$comment])*
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($block: *mut c_void, $($argument: $kind),*) {
                // SAFETY: see above.
                unsafe {
                    if !free_by_program($bases, $block, $align) {
                        $free
                    }
                }
            }
        )*
    };
}

#[allow(non_snake_case, reason = "the C++ ABI's names")]
mod named {
    use super::*;

    deletes! {
        /// `operator delete(void *, size_t)`
        _ZdlPvm(PLAIN, size: usize; block, ALIGN) request::free_sized(DELETE, block, ALIGN, size);
        /// `operator delete[](void *, size_t)`
        _ZdaPvm(ARRAY, size: usize; block, ALIGN) request::free_sized(DELETE_ARRAY, block, ALIGN, size);
        /// `operator delete(void *, size_t, align_val_t)`
        _ZdlPvmSt11align_val_t(ALIGNED, size: usize, align: usize; block, align)
            request::free_sized(DELETE, block, align, size);
        /// `operator delete[](void *, size_t, align_val_t)`
        _ZdaPvmSt11align_val_t(ARRAY_ALIGNED, size: usize, align: usize; block, align)
            request::free_sized(DELETE_ARRAY, block, align, size);
        /// `operator delete(void *, const nothrow_t &)`
        _ZdlPvRKSt9nothrow_t(PLAIN, _tag: usize; block, ALIGN) request::free_of_align(DELETE, block, ALIGN);
        /// `operator delete[](void *, const nothrow_t &)`
        _ZdaPvRKSt9nothrow_t(ARRAY, _tag: usize; block, ALIGN) request::free_of_align(DELETE_ARRAY, block, ALIGN);
        /// `operator delete(void *, align_val_t, const nothrow_t &)`
        _ZdlPvSt11align_val_tRKSt9nothrow_t(ALIGNED, align: usize, _tag: usize; block, align)
            request::free_aligned(DELETE, block, align);
        /// `operator delete[](void *, align_val_t, const nothrow_t &)`
        _ZdaPvSt11align_val_tRKSt9nothrow_t(ARRAY_ALIGNED, align: usize, _tag: usize; block, align)
            request::free_aligned(DELETE_ARRAY, block, align);
    }
}
