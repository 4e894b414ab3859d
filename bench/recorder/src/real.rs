//! The functions underneath, and what is answered while they are looked for.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The functions that the program would have called without the recorder.
pub(crate) struct Real {
    pub(crate) malloc: unsafe extern "C" fn(usize) -> *mut c_void,
    pub(crate) calloc: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    pub(crate) realloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    pub(crate) free: unsafe extern "C" fn(*mut c_void),
    pub(crate) posix_memalign: unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int,
    pub(crate) aligned_alloc: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    pub(crate) memalign: unsafe extern "C" fn(usize, usize) -> *mut c_void,
}

struct Cell<T>(UnsafeCell<T>);

// SAFETY: `REAL` is written by the thread that moves `STAGE` to SEARCHING and read after FOUND; `EARLY` is handed out in parts.
unsafe impl<T> Sync for Cell<T> {}

const UNKNOWN: usize = 0;
const SEARCHING: usize = 1;
const FOUND: usize = 2;
static STAGE: AtomicUsize = AtomicUsize::new(UNKNOWN);
static REAL: Cell<MaybeUninit<Real>> = Cell(UnsafeCell::new(MaybeUninit::uninit()));

/// None while the search is on: the one to ask then is the search itself, which takes from [`early`].
pub(crate) fn real() -> Option<&'static Real> {
    if STAGE.load(Ordering::Acquire) != FOUND {
        // The first to ask is the dynamic linker or a constructor: there is one thread.
        if STAGE.compare_exchange(UNKNOWN, SEARCHING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return None;
        }
        // SAFETY: only one thread passes the exchange above, and nothing reads before FOUND.
        unsafe { (*REAL.0.get()).write(find()) };
        STAGE.store(FOUND, Ordering::Release);
    }
    // SAFETY: the stage is FOUND, so the value is written and never changes again.
    Some(unsafe { (*REAL.0.get()).assume_init_ref() })
}

fn find() -> Real {
    // SAFETY: each name is looked up as the type that C gives it.
    unsafe {
        Real {
            malloc: next(c"malloc"),
            calloc: next(c"calloc"),
            realloc: next(c"realloc"),
            free: next(c"free"),
            posix_memalign: next(c"posix_memalign"),
            aligned_alloc: next(c"aligned_alloc"),
            memalign: next(c"memalign"),
        }
    }
}

/// # Safety
///
/// `F` is the type of the C function `name`.
unsafe fn next<F>(name: &CStr) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name ends in a null byte.
    let address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if address.is_null() {
        crate::file::say(b"hmalloc recorder: the C library underneath lacks a function: ", name.to_bytes());
        // SAFETY: aborting is always possible.
        unsafe { libc::abort() };
    }
    // SAFETY: the caller's promise; a function's address has the size of a pointer.
    unsafe { core::mem::transmute_copy(&address) }
}

/// Room for what `dlsym` asks for while it looks for `malloc`.
const EARLY: usize = 16 << 10;

/// Words of 16 bytes, the alignment that every payload has.
static EARLY_BYTES: Cell<[u128; EARLY / 16]> = Cell(UnsafeCell::new([0; EARLY / 16]));
static EARLY_USED: AtomicUsize = AtomicUsize::new(0);

/// `size` zeroed bytes that are never used again, or null.
pub(crate) fn early(size: usize) -> *mut c_void {
    let Some(rounded) = size.checked_next_multiple_of(16) else { return core::ptr::null_mut() };
    let taken = EARLY_USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        used.checked_add(rounded).filter(|&end| end <= EARLY)
    });
    // SAFETY: the part from `start` on was not handed out before and lies within the array.
    taken.map_or(core::ptr::null_mut(), |start| unsafe { EARLY_BYTES.0.get().cast::<u8>().add(start).cast() })
}

/// How many bytes there are from `payload` to the end of the early room, if it lies in there.
pub(crate) fn early_room(payload: *mut c_void) -> Option<usize> {
    let offset = payload.addr().wrapping_sub(EARLY_BYTES.0.get().addr());
    (offset < EARLY).then(|| EARLY - offset)
}
