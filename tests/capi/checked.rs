//! Checked mode in programs in C: each mistake is named, or ends by a signal, and programs of the machine run as they do
//! without it.

use crate::misuse::matches;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use support::installed::{Installed, cases, describe, run};

/// What is wrong with one run of a mistake, if anything is.
fn judge(command: &mut Command) -> Option<String> {
    let output = run(command);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let name =
        Path::new(command.get_program()).file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let expected = stdout.lines().find_map(|line| line.strip_prefix("expected ")).unwrap_or("(nothing)");
    let right = match expected {
        "nothing" => output.status.success() && stderr.is_empty(),
        "signal 11" => output.status.signal() == Some(libc::SIGSEGV) && stderr.is_empty(),
        line => {
            let line = format!("hmalloc: {line} [program {name}, process *, thread *]");
            output.status.signal() == Some(libc::SIGABRT) && stderr.lines().all(|heard| matches(heard, &line))
        }
    };
    let heard = !stderr.is_empty() || matches!(expected, "nothing" | "signal 11");
    (!right || !heard).then(|| format!("{command:?}: expected {expected}\n{}", describe(&output)))
}

#[test]
fn damage_is_named_in_unmodified_programs() {
    let installed = Installed::new();
    let program = installed.compile("checked.c");
    let mut wrong = Vec::new();
    let names = cases(&program);
    for name in &names {
        for checks in ["1", "zero", "1,zero"] {
            wrong.extend(judge(installed.preloaded(&program).arg(name).env("HMALLOC_CHECKED", checks)));
        }
    }
    assert!(names.len() > 10 && wrong.is_empty(), "{}", wrong.concat());
}

/// The control: without the mode none of it is found.
#[test]
fn damage_is_not_looked_for_unasked() {
    let installed = Installed::new();
    let program = installed.compile("checked.c");
    for name in ["after", "before", "at_exit", "freed_and_used"] {
        let output = run(installed.preloaded(&program).arg(name));
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {}", describe(&output));
    }
}

#[test]
fn a_word_that_means_nothing_is_named() {
    let installed = Installed::new();
    let program = installed.compile("checked.c");
    for (words, code) in [("yes", None), ("1,callers", Some(libc::SIGABRT))] {
        let output = run(installed.preloaded(&program).arg("after").env("HMALLOC_CHECKED", words));
        let said = String::from_utf8_lossy(&output.stderr).starts_with("hmalloc: HMALLOC_CHECKED is more than ");
        assert!(said && output.status.signal() == code, "{words}: {}", describe(&output));
    }
}

/// `capi/README.md` has a command with forty more.
#[test]
fn programs_of_the_machine_run_checked() {
    let installed = Installed::new();
    let programs = [
        ["sh", "-c", "seq 1 20000 | sort -R | sort -n | sha256sum"],
        ["perl", "-e", "my %h; $h{$_ % 503} .= $_ for 1..20000; print length join('', map {$h{$_}} sort keys %h)"],
        ["bash", "-c", "for i in $(seq 200); do x=$x$i; a[$i]=${x:0:20}; done; echo ${#x} $(echo ${a[7]} | rev)"],
        ["sh", "-c", "tar cf - -C /usr/include/linux . --sort=name --mtime=2020-01-01 | xz -T2 -1 | xz -d | sha256sum"],
    ];
    for [program, option, text] in programs {
        let plain = run(Command::new(program).args([option, text]));
        let checked = run(installed.preloaded(program).args([option, text]).env("HMALLOC_CHECKED", "1"));
        assert!(plain.status.success() && !plain.stdout.is_empty(), "{}", describe(&plain));
        assert!(checked.status.success() && checked.stderr.is_empty(), "{text}: {}", describe(&checked));
        assert_eq!(String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&plain.stdout), "{text}");
    }
}
