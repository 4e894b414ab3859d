//! What a program lets its environment decide, and what is said at exit.

use super::Hmalloc;
use super::checked::death;
use super::profile::{GUARDS_MEAN, MEAN, Sampling};
use crate::checked::options::Checks;
use crate::global::lock::Lock;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use crate::kernel::call::Errno;
use crate::kernel::environment::{self, Settings, settings};
use crate::kernel::line::{Lines, say};
use crate::kernel::sys::{STDERR, abort};
use crate::kernel::{libc, log, tasks};
use crate::look::profile::files;
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

/// The checks that the environment asks for. A line names a word that means nothing.
pub fn checks_of(settings: &Settings) -> Option<Checks> {
    Checks::of_words(settings.checked()).unwrap_or_else(|others| {
        let rest = if others.is_some() { "the others count" } else { "blocks are not checked" };
        let _ =
            say(STDERR, format_args!("HMALLOC_CHECKED is more than 1, zero, callers and commas between them: {rest}"));
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
    /// | `HMALLOC_REPORT` | `1` | at exit, writes to standard error where the memory is and why it is not going back: the [report](Self::report) |
    /// | `HMALLOC_CHECKED` | `1`, `zero`, `callers`, or some with commas between | puts the heap in [checked mode](Checks), as [`set_checks`](Self::set_checks) does; `zero` for [`Checks::zeroing`], `callers` for [`Checks::callers`]. At exit all contents are verified; also by `quick_exit`, and by a signal whose action is the default one, unless other threads or the interrupted code use the heap just then. `HMALLOC_PROFILE` and `HMALLOC_GUARDS` have no effect beside it, and a line says so |
    /// | `HMALLOC_LOG` | a path | the lines of `HMALLOC_STATS` and `HMALLOC_REPORT` are appended to this file instead |
    /// | `HMALLOC_PROFILE` | a path | starts a [profile](Self::start_profile), and writes it there when the process ends: at exit, by `quick_exit`, and by a signal whose action is the default one. In pprof's format, with stacks as text at `PATH.collapsed` and what is in use at `PATH.leaks`; only one of these if the path ends in `.collapsed` or `.leaks`. A child of a fork, or a process that finds the path taken, writes to `PATH.PROCESS` |
    /// | `HMALLOC_PROFILE_EVERY` | bytes | one sample in so many bytes, on average, instead of 524288; 1: each block |
    /// | `HMALLOC_GUARDS` | `1`, or bytes | [guards](crate::Sampling::guarded) sampled blocks: one in 2 MiB, or in so many bytes; with a profile, its samples |
    ///
    /// They are copied at the first call in a process. They are not read without a libc, for that has the environment; nor in
    /// a program with more rights than its caller (`AT_SECURE`). Exit is `exit` or the end of `main`; where nothing else
    /// is said not `_exit`, and not death by a signal. To be called at the start of `main`.
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
        self.profile_as_asked();
        self.look_however_it_ends();
        let checked = self.mode.wanted().is_some();
        if settings.stats || settings.report || settings.check || settings.profile().is_some() || checked {
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

    /// Begins the profile and the guards that the environment asks for, if it was read.
    #[doc(hidden)]
    pub fn profile_as_asked(&self) {
        let Some(settings) = settings().filter(|settings| settings.samples()) else { return };
        if self.mode.wanted().is_some() {
            let _ = say(STDERR, format_args!("HMALLOC_PROFILE and HMALLOC_GUARDS have no effect in checked mode"));
            return;
        }
        let usual = if settings.profile().is_some() { MEAN } else { GUARDS_MEAN };
        let guards = settings.guards.filter(|&bytes| bytes > 1);
        let sampling = Sampling::new().every(settings.every.or(guards).unwrap_or(usual));
        let sampling = if settings.guards.is_some() { sampling.guarded() } else { sampling };
        let begun = self.start_profile(sampling).ok().and_then(|()| self.while_stopped(|heap| heap.spans.profiling));
        match begun.zip(settings.profile()) {
            Some((profiling, path)) => files::begin(path, profiling.sites),
            None if begun.is_some() => {}
            None => {
                let _ = say(
                    STDERR,
                    format_args!("there is no memory for HMALLOC_PROFILE and HMALLOC_GUARDS: nothing is sampled"),
                );
            }
        }
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
        files::write();
        // First, for the others gather what each thread's tier has.
        if settings.report {
            log::print(settings.log(), |descriptor| self.say_report(descriptor));
        }
        if settings.stats {
            log::print(settings.log(), |descriptor| say(descriptor, format_args!("{}", self.summary())));
        }
        // A signal that comes later finds nothing new.
        let _ = death::begin();
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
