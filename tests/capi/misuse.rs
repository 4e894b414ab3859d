//! What a C program says of a mistake, and how it ends: under each policy, again and again with other addresses.
//!
//! `HMALLOC_TEST_REPEAT` sets how often each one is made.

use std::path::Path;
use std::process::Command;
use support::installed::{Installed, aborted, cases, command, describe, run};

/// Name in the environment and number in C. The default is to abort.
const POLICIES: [(Option<&str>, u8); 4] = [(Some("ignore"), 1), (Some("report"), 2), (Some("abort"), 3), (None, 3)];

fn repeat() -> usize {
    std::env::var("HMALLOC_TEST_REPEAT").map_or(5, |times| times.parse().expect("a number"))
}

/// Whether `heard` is `expected`, where a `*` stands for a number.
pub(crate) fn matches(heard: &str, expected: &str) -> bool {
    let mut parts = expected.split('*');
    let Some(mut rest) = parts.next().and_then(|first| heard.strip_prefix(first)) else { return false };
    for part in parts {
        let number = rest.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
        if number.len() == rest.len() {
            return false;
        }
        let Some(after) = number.strip_prefix(part) else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// Runs one mistake and compares: `None`, or what is wrong.
pub(crate) fn judge(command: &mut Command, policy: u8) -> Option<String> {
    let output = run(command);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let expected = stdout.lines().find_map(|line| line.strip_prefix("expected ")).unwrap_or("(no mistake was made)");
    let name =
        Path::new(command.get_program()).file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let heard = match policy {
        1 => stderr.is_empty(),
        _ => stderr
            .strip_suffix('\n')
            .is_some_and(|line| matches(line, &format!("{expected} [program {name}, process *, thread *]"))),
    };
    let said = |line: &str| stdout.lines().any(|said| said == line);
    let ended = match policy {
        3 => aborted(output.status) && said("sound at SIGABRT") && !said("lived on"),
        _ => output.status.success() && said("lived on"),
    };
    let right = heard && ended && stdout.contains("expected ");
    (!right).then(|| format!("{command:?}: expected {expected}\n{}", describe(&output)))
}

pub(crate) fn report(wrong: &[String], made: usize) {
    assert!(made > 0 && wrong.is_empty(), "{} of {made} are wrong:\n{}", wrong.len(), wrong.concat());
}

fn preloaded(installed: &Installed, program: &Path, name: &str, policy: Option<&str>) -> Command {
    let mut command = installed.preloaded(program);
    command.arg(name).envs(policy.map(|policy| ("HMALLOC_POLICY", policy)));
    command
}

#[test]
fn misuse_is_named_in_unmodified_programs() {
    let installed = Installed::new();
    let program = installed.compile("misuse.c");
    let (mut wrong, mut made) = (Vec::new(), 0);
    for name in cases(&program) {
        for (policy, number) in POLICIES {
            for _ in 0..repeat() {
                wrong.extend(judge(&mut preloaded(&installed, &program, &name, policy), number));
                made += 1;
            }
        }
    }
    report(&wrong, made);
}

/// The same mistakes in a program that uses `hmalloc.h`, with the archive; wholly static or not.
#[test]
fn misuse_is_named_in_programs_with_the_archive() {
    let installed = Installed::new();
    let (mut wrong, mut made) = (Vec::new(), 0);
    for flags in [&["-DFAMILY", "-Wno-all"][..], &["-DFAMILY", "-Wno-all", "-static"]] {
        let program = installed.compile_with_archive("cc", "misuse.c", flags);
        for name in cases(&program) {
            for number in 1..=3 {
                for _ in 0..repeat() {
                    wrong.extend(judge(command(&program).arg(&name).arg(number.to_string()), number));
                    made += 1;
                }
            }
        }
    }
    report(&wrong, made);
}

/// The control: the judge objects to a mistake that is reported where it should not be, and to one that is not reported
/// where it should.
#[test]
fn the_judge_is_awake() {
    let installed = Installed::new();
    let program = installed.compile("misuse.c");
    let made = |policy| preloaded(&installed, &program, "free_interior", Some(policy));
    for (policy, right) in [("ignore", 1), ("report", 2), ("abort", 3)] {
        for number in 1..=3 {
            assert_eq!(judge(&mut made(policy), number).is_none(), number == right, "{policy} judged as {number}");
        }
    }
    assert!(matches("a 12 b", "a * b") && matches("0xa1f", "0x*"));
    assert!(!matches("a  b", "a * b") && !matches("a 12 c", "a * b") && !matches("a 12 b ", "a * b"));
}

/// A word that is no policy is named, and the default holds.
#[test]
fn a_policy_that_does_not_exist_is_named() {
    let installed = Installed::new();
    let program = installed.compile("misuse.c");
    let output = run(&mut preloaded(&installed, &program, "free_stack", Some("loud")));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let warning = "hmalloc: HMALLOC_POLICY is none of ignore, report, abort: abort it is\n";
    assert!(aborted(output.status) && stderr.starts_with(warning), "{}", describe(&output));
}

/// The program's choice overrides the environment's.
#[test]
fn the_program_chooses_before_the_environment() {
    let installed = Installed::new();
    let program = installed.compile("misuse.c");
    let mut command = preloaded(&installed, &program, "free_stack", Some("abort"));
    assert_eq!(judge(command.arg("2"), 2), None);
}
