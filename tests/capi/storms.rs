//! Forks in signal handlers and among streams, and children that share memory, under both libraries and on two libcs.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};
use support::installed::{Installed, cases, command, describe, run};
use support::packages;

/// Runs every case of a program, made runnable by `prepare`. `HMALLOC_TEST_FACTOR` makes them longer.
fn weather(program: &Path, prepare: impl Fn(&Path) -> Command) {
    let factor = std::env::var("HMALLOC_TEST_FACTOR").unwrap_or_else(|_| "1".into());
    for name in cases(program) {
        let output = run(prepare(program).args([&name, &factor]));
        assert!(output.status.success(), "{name} of {program:?}: {}", describe(&output));
    }
}

#[test]
fn streams_under_the_shared_library() {
    let installed = Installed::new();
    weather(&installed.compile("streams.c"), |program| installed.preloaded(program));
}

#[test]
fn handlers_under_the_shared_library() {
    let installed = Installed::new();
    weather(&installed.compile("handlers.c"), |program| installed.preloaded(program));
}

#[test]
fn filters_that_kill() {
    let installed = Installed::new();
    let program = installed.compile("sandbox.c");
    for name in cases(&program) {
        let output = run(installed.preloaded(&program).arg(&name));
        let killed = output.status.signal() == Some(libc::SIGSYS);
        let control = name == "a_call_that_is_not_listed_kills";
        assert!(if control { killed } else { output.status.success() }, "{name}: {}", describe(&output));
    }
}

/// Programs that keep the processors busy until this is dropped: who holds a lock is kept from running for long.
struct Load(Vec<Child>);

impl Load {
    fn new() -> Self {
        let spin = |_| command("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
        Self((0..2 * std::thread::available_parallelism().map_or(2, usize::from)).map(spin).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn handlers_on_a_busy_machine() {
    let installed = Installed::new();
    let program = installed.compile_with_archive("cc", "handlers.c", &["-DFAMILY"]);
    let _load = Load::new();
    for name in ["one_of_many_forks", "allocating_handlers_of_threads"] {
        let output = run(command(&program).args([name, "2"]));
        assert!(output.status.success(), "{name}: {}", describe(&output));
    }
}

fn handlers_with_the_archive_of(compiler: &Path) {
    let installed = Installed::new();
    for flags in [&["-DFAMILY"][..], &["-DFAMILY", "-static"]] {
        weather(&installed.compile_with_archive(compiler, "handlers.c", flags), |program| command(program));
    }
}

#[test]
fn handlers_with_the_archive() {
    handlers_with_the_archive_of(Path::new("cc"));
}

#[test]
fn handlers_with_the_archive_on_musl() {
    handlers_with_the_archive_of(&packages::program(&["musl-gcc"], "musl-tools"));
}
