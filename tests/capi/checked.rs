//! Checked mode in programs in C: each mistake is named, or ends by a signal, and programs of the machine run as they do
//! without it.

use crate::misuse::matches;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use support::installed::{Installed, cases, describe, run};
use support::packages;

/// What is wrong with one run of a mistake, if anything is.
fn judge(command: &mut Command) -> Option<String> {
    let output = run(command);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let name =
        Path::new(command.get_program()).file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let expected = stdout.lines().find_map(|line| line.strip_prefix("expected ")).unwrap_or("(nothing)");
    let right = match expected {
        "nothing" => output.status.success() && stderr.is_empty(),
        "handled" => output.status.code() == Some(libc::SIGSEGV) && stderr == "the program's handler\n",
        line => {
            let signal = if line.starts_with("fault: ") { libc::SIGSEGV } else { libc::SIGABRT };
            let line = format!("hmalloc: {line} [program {name}, process *, thread *]");
            output.status.signal() == Some(signal) && stderr.lines().all(|heard| matches(heard, &line))
        }
    };
    let heard = !stderr.is_empty() || expected == "nothing";
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

/// By `exit` the process dies of what is found; by a signal it dies of that signal.
#[test]
fn however_a_program_ends_its_contents_are_looked_at() {
    let installed = Installed::new();
    let program = installed.compile("checked.c");
    let run = |way: &str| run(installed.preloaded(&program).arg(way).env("HMALLOC_CHECKED", "1"));
    let deaths = [("abort", libc::SIGABRT), ("term", libc::SIGTERM), ("segv", libc::SIGSEGV)];
    let ways = ["_exit", "_Exit", "quick_exit"].map(|way| (way, libc::SIGABRT));
    for (way, signal) in ways.into_iter().chain(deaths) {
        let output = run(&format!("ends_by_{way}"));
        let line = "hmalloc: exit: 1 byte after the block of 5 bytes at 0x* was overwritten (at offset 5), allocated by the first \
            thread [program checked-c, process *, thread *]";
        let said = String::from_utf8_lossy(&output.stderr);
        let once = said.lines().count() == 1 && said.lines().all(|heard| matches(heard, line));
        assert!(once && output.status.signal() == Some(signal), "{way}: {}", describe(&output));
    }
    // Wherever its threads are then, it dies at once, and accuses nobody.
    let output = run("ends_while_busy");
    assert!(output.status.signal() == Some(libc::SIGALRM) && output.stderr.is_empty(), "{}", describe(&output));
}

#[test]
fn a_delete_of_another_alignment_is_named() {
    packages::program(&["g++"], "g++");
    let installed = Installed::new();
    let none: [&OsStr; 0] = [];
    let program = installed.build("aligned", &["g++", "-std=c++17"], "checked.cc", &none);
    for (made, deleted) in [(0, 0), (0, 16), (16, 0), (64, 64), (64, 32), (64, 16), (64, 0), (4096, 64), (0, 64)] {
        let run = |checks: &str| {
            run(installed
                .preloaded(&program)
                .args([made, deleted].map(|align: usize| align.to_string()))
                .env("HMALLOC_CHECKED", checks))
        };
        let output = run("1");
        let right = if made.max(16) == deleted.max(16) {
            output.status.success() && output.stderr.is_empty()
        } else {
            let line = "hmalloc: operator delete: 0x* is not of the given layout: 0 bytes into * used bytes at 0x* [program aligned, process *, thread *]";
            output.status.signal() == Some(libc::SIGABRT)
                && String::from_utf8_lossy(&output.stderr).lines().all(|heard| matches(heard, line))
                && !output.stderr.is_empty()
        };
        assert!(right, "{made} {deleted}: {}", describe(&output));
    }
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
    for (words, code) in [("yes", None), ("1,calls", Some(libc::SIGABRT))] {
        let output = run(installed.preloaded(&program).arg("after").env("HMALLOC_CHECKED", words));
        let said = String::from_utf8_lossy(&output.stderr).starts_with("hmalloc: HMALLOC_CHECKED is more than ");
        assert!(said && output.status.signal() == code, "{words}: {}", describe(&output));
    }
}

#[test]
fn nothing_is_sampled_in_checked_mode() {
    let installed = Installed::new();
    let program = installed.compile("checked.c");
    for (name, value) in [("HMALLOC_GUARDS", "1"), ("HMALLOC_PROFILE", "no/such/folder/heap.pb")] {
        let output = run(installed.preloaded(&program).arg("right").env("HMALLOC_CHECKED", "1").env(name, value));
        let line = "hmalloc: HMALLOC_PROFILE and HMALLOC_GUARDS have no effect in checked mode\n";
        let right = output.stderr == line.as_bytes() && output.status.success();
        assert!(right, "{name}: {}", describe(&output));
    }
}

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
