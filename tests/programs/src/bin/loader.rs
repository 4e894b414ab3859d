//! Loads a library with a heap of its own, works with it, forks, and lets it go again, many times.
//!
//!     loader PLUGIN ROUNDS
//!
//! What the library has registered for forks must be gone with it: its code is not there any more.

use company::{KIB, Pile, assert_sound, finish, fork, number, word};
use std::ffi::{CStr, CString, c_void};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

static DONE: AtomicBool = AtomicBool::new(false);

type Work = extern "C" fn(u32) -> u32;

struct Plugin {
    handle: *mut c_void,
    work: Work,
}

impl Plugin {
    fn load(path: &CStr) -> Self {
        // SAFETY: the path is a C string; the library's constructors are harmless.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{path:?} can be loaded");
        // SAFETY: the handle is open.
        let work = unsafe { libc::dlsym(handle, c"plugin_work".as_ptr()) };
        assert!(!work.is_null());
        // SAFETY: that is the function's type.
        Self { handle, work: unsafe { std::mem::transmute::<*mut c_void, Work>(work) } }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // SAFETY: no thread runs the library's code, and none of its memory is used any more.
        assert_eq!(unsafe { libc::dlclose(self.handle) }, 0);
    }
}

/// Whether the dynamic loader still has the library.
fn is_loaded(path: &CStr) -> bool {
    // SAFETY: only asks; what is found is closed again.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        !handle.is_null() && libc::dlclose(handle) == 0
    }
}

fn main() {
    let (path, rounds) = (CString::new(word(1)).expect("a path"), number(2));
    let busy = thread::spawn(|| {
        let mut pile = Pile::new(5);
        while !DONE.load(Relaxed) {
            pile.churn(30, 60 * KIB);
        }
    });
    for round in 0..rounds as u32 {
        let plugin = Plugin::load(&path);
        thread::scope(|scope| {
            for seed in 0..2 {
                let work = plugin.work;
                scope.spawn(move || assert_eq!(work(round + seed), 0));
            }
            fork(|| {
                assert_eq!((plugin.work)(round), 0);
                Pile::new(3).churn(10, 60 * KIB);
            });
        });
        drop(plugin);
        // musl never lets a library go.
        assert_eq!(is_loaded(&path), cfg!(target_env = "musl"), "the library is gone");
        fork(|| Pile::new(4).churn(10, 60 * KIB));
        assert_sound();
    }
    DONE.store(true, Relaxed);
    busy.join().expect("a thread ends");
    finish();
}
