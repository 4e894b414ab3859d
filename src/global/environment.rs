//! What a program lets its environment decide, and what is said at exit.

use super::Hmalloc;
use crate::global::lock::Lock;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use crate::kernel::call::Errno;
use crate::kernel::environment::{self, Settings, settings};
use crate::kernel::line::{Lines, say};
use crate::kernel::sys::{STDERR, abort};
use crate::kernel::{libc, log, tasks};
use crate::look::stats::Stats;
use crate::look::summary::Summary;
use core::ffi::c_void;
use core::fmt::Write;

/// The words behind `HMALLOC_POLICY`.
pub const POLICIES: [&str; 3] = ["ignore", "report", "abort"];

/// The policy that the environment names.
pub fn policy_of(settings: &Settings) -> Option<Policy> {
    [Policy::Ignore, Policy::Report, Policy::Abort].get(settings.policy?).copied()
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
    /// | `HMALLOC_REPORT` | `1` | at exit, writes to standard error where the memory is and why it is not going back: the [report](Self::report) |
    /// | `HMALLOC_LOG` | a path | the lines of `HMALLOC_STATS` and `HMALLOC_REPORT` are appended to this file instead |
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
        if settings.stats || settings.report || settings.check {
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

    /// Writes the report to a descriptor, line by line, each of them as any other of the crate's. A heap whose spans
    /// cannot be followed has no report: the line says so.
    ///
    /// # Errors
    ///
    /// As for [`write_line`](crate::process::write_line).
    #[doc(hidden)]
    pub fn say_report(&self, descriptor: i32) -> Result<(), Errno> {
        let report = match self.report_checked() {
            Ok(report) => report,
            Err(corruption) => return say(descriptor, format_args!("no report: the heap is corrupt: {corruption}")),
        };
        say(descriptor, format_args!("report of process {}", tasks::process_id()))?;
        let mut lines = Lines::new(|line| say(descriptor, format_args!("  {line}")));
        let _ = write!(lines, "{report}");
        lines.finish()
    }

    /// Does what the environment asks for at exit, if it was read.
    #[doc(hidden)]
    pub fn say_at_exit(&self) {
        let Some(settings) = settings() else { return };
        // First, for the others gather what each thread's tier has.
        if settings.report {
            log::print(settings.log(), |descriptor| self.say_report(descriptor));
        }
        if settings.stats {
            log::print(settings.log(), |descriptor| say(descriptor, format_args!("{}", self.summary())));
        }
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
