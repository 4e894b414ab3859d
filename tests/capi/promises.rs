//! C23, POSIX and the malloc manual page, promise by promise.

use crate::installed::{Installed, cases, command, describe, run};

/// The promise that nobody keeps: the control.
const CONTROL: &str = "control";
/// Begins the names of promises that not every glibc keeps.
const OWN: &str = "own_";

#[test]
fn every_promise_is_kept() {
    let installed = Installed::new();
    let program = installed.compile("promises.c");
    let promises = cases(&program);
    assert!(promises.iter().any(|name| name == CONTROL));
    let mut broken = Vec::new();
    for name in promises {
        let output = run(installed.preloaded(&program).arg(&name));
        if output.status.success() == (name == CONTROL) {
            broken.push(format!("{name}: {}", describe(&output)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The same program is an oracle of itself: what it demands is demanded of the C library's malloc, too.
#[test]
fn the_promises_are_those_of_the_c_library() {
    let installed = Installed::new();
    let program = installed.compile("promises.c");
    for name in cases(&program).iter().filter(|name| !name.starts_with(OWN)) {
        let output = run(command(&program).arg(name));
        assert_eq!(output.status.success(), name != CONTROL, "{name}: {}", describe(&output));
    }
}
