//! A report that cannot be written as it should: standard error is closed, broken, full, slow or limited. The process
//! does what the policy says, in bounded time, and nothing else happens to it.

use std::process::{Command, Output};
use support::installed::{Installed, aborted, cases, command, describe, run};

const SIGABRT: [&str; 4] = ["default", "blocked", "ignored", "handled"];
const REPORT: &str = "2";
const ABORT: &str = "3";

/// Makes the command for a kind of standard error, of SIGABRT, and a policy.
type Prepare<'a> = dyn Fn(&str, &str, &str) -> Command + Sync + 'a;

/// Hands the program to `judge` as unmodified, preloaded, and with the archive, side by side: most of the time they wait.
fn on_both(judge: impl Fn(&str, &Prepare<'_>, &[String]) + Sync) {
    let installed = Installed::new();
    let program = installed.compile("report.c");
    let kinds = cases(&program);
    let preloaded = |kind: &str, sigabrt: &str, policy: &str| {
        let mut command = installed.preloaded(&program);
        command.args([kind, sigabrt]).env("HMALLOC_POLICY", if policy == REPORT { "report" } else { "abort" });
        command
    };
    let family = installed.compile_with_archive("cc", "report.c", &["-DFAMILY"]);
    let archive = |kind: &str, sigabrt: &str, policy: &str| {
        let mut made = command(&family);
        made.args([kind, sigabrt, policy]);
        made
    };
    std::thread::scope(|scope| {
        scope.spawn(|| judge("free", &preloaded, &kinds));
        judge("hfree", &archive, &kinds);
    });
}

/// Looks at every kind in a thread of its own: most of the time they wait.
fn side_by_side(kinds: &[String], look: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(|| look(kind));
        }
    });
}

/// One whole line about a double free, and nothing else.
fn is_report(text: &str, call: &str) -> bool {
    let begun = text.strip_prefix(&format!("hmalloc: {call}: 0x"));
    begun.is_some_and(|rest| rest.contains(" is already free: ") && rest.find('\n') == Some(rest.len() - 1))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn lives(call: &str, kind: &str, output: &Output) -> bool {
    let said = stdout(output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = said.strip_suffix("lived on\n");
    let heard = match line {
        Some(line) if kind.starts_with("slow_") => is_report(line, call),
        Some(line) if kind.starts_with("full_") && kind != "full_device" => line == "and a thousand times\n",
        Some(line) => line.is_empty() || line == "and a thousand times\n",
        None => false,
    };
    let told = if kind == "whole" { is_report(&stderr, call) } else { stderr.is_empty() };
    output.status.success() && heard && told
}

#[test]
fn the_process_lives_under_report() {
    on_both(|call, program, kinds| {
        assert!(kinds.len() > 10);
        side_by_side(kinds, |kind| {
            let output = run(&mut program(kind, "default", REPORT));
            assert!(lives(call, kind, &output), "{kind}: {}", describe(&output));
        });
    });
}

/// SIGABRT ends it whatever was made of the signal, and no SIGPIPE comes first.
#[test]
fn the_process_dies_by_sigabrt_under_abort() {
    on_both(|_, program, kinds| {
        side_by_side(kinds, |kind| {
            // A full pipe takes its time; it need not do so four times.
            let short = if kind.starts_with("full_") && kind != "full_device" { 1 } else { SIGABRT.len() };
            for sigabrt in &SIGABRT[SIGABRT.len() - short..] {
                let output = run(&mut program(kind, sigabrt, ABORT));
                let handled = stdout(&output).contains("SIGABRT was handled\n") == (*sigabrt == "handled");
                let right = aborted(output.status) && handled && !stdout(&output).contains("must not");
                assert!(right, "{kind}, SIGABRT {sigabrt}: {}", describe(&output));
            }
        });
    });
}

/// The control: what the program calls broken and limited kills a process that writes to it without care.
#[test]
fn a_plain_write_would_have_died() {
    let installed = Installed::new();
    let program = installed.compile("report.c");
    for (kind, signal) in
        [("broken_pipe", libc::SIGPIPE), ("broken_socket", libc::SIGPIPE), ("limited_file", libc::SIGXFSZ)]
    {
        let output = run(command(&program).args([kind, "plain"]));
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&output.status),
            Some(signal),
            "{}",
            describe(&output)
        );
    }
}
