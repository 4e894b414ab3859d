//! What a program lets its environment decide, and what is said at exit.

use super::Hmalloc;
use crate::checked::options::Checks;
use crate::global::lock::Lock;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use crate::kernel::environment::{self, Settings, settings};
use crate::kernel::line::say;
use crate::kernel::sys::{STDERR, abort};
use crate::kernel::{libc, log};
use crate::look::stats::Stats;
use crate::look::summary::Summary;
use core::ffi::c_void;

/// The words behind `HMALLOC_POLICY`.
pub const POLICIES: [&str; 3] = ["ignore", "report", "abort"];

/// The policy that the environment names.
pub fn policy_of(settings: &Settings) -> Option<Policy> {
    [Policy::Ignore, Policy::Report, Policy::Abort].get(settings.policy?).copied()
}

/// The checks that the environment asks for. A line names a word that means nothing.
pub fn checks_of(settings: &Settings) -> Option<Checks> {
    Checks::of_words(settings.checked()).unwrap_or_else(|others| {
        let rest = if others.is_some() { "the others count" } else { "blocks are not checked" };
        let _ = say(STDERR, format_args!("HMALLOC_CHECKED is more than 1, zero and commas between them: {rest}"));
        others
    })
}

impl<L: Lock + Sync, B: Brk + Send> Hmalloc<L, B> {
    /// Does what the environment variables `HMALLOC_*` ask for, as the preloaded library for C does: for programs that want
    /// to leave it to their users. Without this call no variable has an effect. Returns whether they were read.
    ///
    /// | variable | values | what it does |
    /// |---|---|---|
    /// | `HMALLOC_POLICY` | `ignore`, `report`, `abort` | sets the [policy](Self::set_policy) |
    /// | `HMALLOC_STATS` | `1` | at exit, writes the heap in one line to standard error |
    /// | `HMALLOC_CHECK` | `1` | at exit, checks the whole heap; if it is corrupt, one line says so, and the process aborts |
    /// | `HMALLOC_CHECKED` | `1`, `zero`, or both with a comma between | puts the heap in [checked mode](Checks), as [`set_checks`](Self::set_checks) does; `zero` for [`Checks::zeroing`]. At exit all contents are verified |
    /// | `HMALLOC_LOG` | a path | the line of `HMALLOC_STATS` is appended to this file instead |
    ///
    /// They are copied at the first call in a process. They are not read without a libc, for that has the environment; nor in
    /// a program with more rights than its caller (`AT_SECURE`). Exit is `exit` or the end of `main`: not `_exit`, and not
    /// death by a signal. To be called at the start of `main`.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// # fn main() {
    /// // SAFETY: no other thread has started that could change the environment.
    /// let read = unsafe { HEAP.configure_from_environment() };
    /// assert!(read);
    /// # }
    /// ```
    ///
    /// # Safety
    ///
    /// No other thread changes the environment meanwhile, as for [`getenv`](https://man7.org/linux/man-pages/man3/getenv.3.html).
    pub unsafe fn configure_from_environment(&'static self) -> bool {
        environment::read(&POLICIES);
        let Some(settings) = settings() else { return false };
        policy_of(settings).into_iter().for_each(|policy| self.set_policy(policy));
        if let Some(checks) = checks_of(settings)
            && !self.set_checks(checks)
        {
            let _ = say(STDERR, format_args!("this heap cannot be checked: HMALLOC_CHECKED has no effect"));
        }
        if settings.stats || settings.check || self.mode.wanted().is_some() {
            libc::at_exit(at_exit::<L, B>, core::ptr::from_ref(self).cast_mut().cast());
        }
        true
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// The heap's numbers, and whether it is sound, in one turn.
    #[doc(hidden)]
    pub fn summary(&self) -> Summary {
        self.while_stopped(|heap| {
            let check = heap.check();
            Summary { stats: if check.is_ok() { heap.stats() } else { Stats::default() }, check }
        })
    }

    /// Does what the environment asks for at exit, if it was read.
    #[doc(hidden)]
    pub fn say_at_exit(&self) {
        let Some(settings) = settings() else { return };
        if settings.stats {
            log::print(settings.log(), |descriptor| say(descriptor, format_args!("{}", self.summary())));
        }
        self.report_contents();
        if settings.check
            && let Err(corruption) = self.check()
        {
            let _ = say(STDERR, format_args!("the heap is corrupt at exit: {corruption}"));
            abort();
        }
    }
}

extern "C" fn at_exit<L: Lock + Sync, B: Brk + Send>(heap: *mut c_void) {
    // SAFETY: a static heap of this type, which was passed together with this function.
    unsafe { &*heap.cast::<Hmalloc<L, B>>() }.say_at_exit();
}
