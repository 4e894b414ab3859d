//! Scenarios that run in a process of their own, because they change what a process has only one of: its break, its
//! limits, its filters, its end.
//!
//! A test starts the test binary again, for this one test, with its argument in the environment. In that process the
//! same call runs the scenario instead. A scenario that came to its end says so on standard output as its last act;
//! a process that did not say it has not passed, whatever its exit status.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// The variable that holds the scenario's argument, in the child only.
pub const ARGUMENT: &str = "HMALLOC_TEST_SCENARIO";
/// A scenario that hangs dies after so many seconds.
const PATIENCE: u32 = 300;
/// On a line of its own, whatever libtest wrote before it.
const TOKEN: &str = "\n[the scenario came to its end]\n";

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether the scenario came to its end.
    pub finished: bool,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `body` in a process of its own and fails unless it came to its end. `test` is the calling test function.
pub fn scenario<T>(test: &T, body: impl FnOnce() + Send + 'static) {
    let ended = observe(test, "", &[], |_| body());
    assert!(ended.finished, "the scenario failed: {ended:#?}");
}

/// Runs `body` with `argument` in a process of its own, with more in its environment, and tells how that ended.
pub fn observe<T>(
    test: &T,
    argument: &str,
    environment: &[(&str, &str)],
    body: impl FnOnce(&str) + Send + 'static,
) -> Ended {
    if let Ok(argument) = std::env::var(ARGUMENT) {
        run_here(argument, body);
    }
    let mut command = command(&[], test, argument);
    command.envs(environment.iter().copied());
    run(&mut command)
}

/// Runs a scenario in this process, which does not survive it. It gets a thread of its own: there the C library's
/// malloc works in mappings, and the break is the scenario's alone.
fn run_here(argument: String, body: impl FnOnce(&str) + Send + 'static) -> ! {
    // SAFETY: no handler is involved; the default action of SIGALRM ends the process.
    unsafe { libc::alarm(PATIENCE) };
    let thread = std::thread::spawn(move || {
        body(&argument);
        finish();
    });
    let _ = thread.join();
    // The panic's message stands on standard error.
    std::process::exit(101)
}

/// The command that runs `test`'s scenario in a child, behind the words of `wrapper`.
pub fn command<T>(wrapper: &[&str], _: &T, argument: &str) -> Command {
    // The path of the test function, as libtest names it: without the crate.
    let (_, path) = std::any::type_name::<T>().split_once("::").expect("a test is a function in a crate");
    let binary = std::env::current_exe().expect("a test binary has a path");
    let words: Vec<_> = wrapper.iter().map(OsString::from).chain([binary.into_os_string()]).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args([path, "--exact", "--nocapture", "--include-ignored"]);
    // A backtrace would take memory that the scenario may have made scarce.
    command.env(ARGUMENT, argument).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

/// Waits for a child.
pub fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("the child starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let finished = output.status.success() && stdout.ends_with(TOKEN);
    Ended { finished, signal: output.status.signal(), stdout, stderr }
}

/// Says that the scenario came to its end, and ends the process then and there: libtest, which may not survive what the
/// scenario did to the process, is not asked. Allocates nothing.
fn finish() -> ! {
    // SAFETY: the kernel reads the bytes of the token; nothing runs after `_exit`.
    unsafe {
        libc::write(1, TOKEN.as_ptr().cast(), TOKEN.len());
        libc::_exit(0)
    }
}
