//! The lines of checked mode say by which functions a block was allocated and freed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use support::installed::{Installed, command, describe, run, succeed};
use support::packages;

/// What a case says, and the two innermost functions of the stacks of its block.
type Case = (&'static str, &'static str, [&'static str; 2], Option<[&'static str; 2]>);

const CASES: [Case; 9] = [
    ("overflow", "free: 1 byte after ", ["takes", "overflow"], None),
    ("overflow_large", "free: 1 byte after ", ["takes", "overflow_large"], None),
    ("underflow_moved", "free: 1 byte before ", ["grows", "underflow_moved"], None),
    ("written_after", "malloc: 1 byte of the free ", ["takes", "written_after"], Some(["gives", "written_after"])),
    (
        "written_after_another",
        "malloc: 1 byte of the free ",
        ["takes", "written_after_another"],
        Some(["gives", "gives_in_thread"]),
    ),
    ("at_exit", "exit: 1 byte after ", ["takes", "at_exit"], None),
    ("twice", "free: 0x", ["takes", "twice"], Some(["gives", "twice"])),
    ("twice_large", "free: 0x", ["takes", "twice_large"], Some(["gives", "twice_large"])),
    ("used_before", "free: 0x", ["grows", "used_before"], Some(["gives_again", "used_before"])),
];

fn compile(installed: &Installed) -> PathBuf {
    let none: [&OsStr; 0] = [];
    installed.build("callers", &["cc", "-g", "-fno-omit-frame-pointer"], "callers.c", &none)
}

/// The functions of the stack behind `verb` in a line, as far as they are the program's: `, VERB by WHO at FILE+0xADDRESS < ...`.
fn functions(line: &str, verb: &str, program: &Path) -> Option<Vec<String>> {
    let (_, rest) = line.split_once(&format!(", {verb} by "))?;
    let stack = rest.split(&[',', '['][..]).next()?;
    let Some((_, stack)) = stack.split_once(" at ") else { return Some(Vec::new()) };
    let addresses = stack.trim().split(" < ").map_while(|frame| frame.strip_prefix("callers+"));
    let addr2line = packages::program(&["addr2line"], "binutils");
    let named = succeed(command(addr2line).args(["-f", "-e"]).arg(program).args(addresses));
    Some(named.lines().step_by(2).map(str::to_owned).collect())
}

/// What is wrong with the line of a case, if anything is.
fn judge(installed: &Installed, program: &Path, words: &str, case: Case) -> Option<String> {
    let (name, begin, allocated, freed) = case;
    let mut command = installed.preloaded(program);
    let output = run(command.arg(name).env("HMALLOC_CHECKED", words).env("HMALLOC_POLICY", "report"));
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().unwrap_or_default();
    let stacks = ["allocated", "freed"].map(|verb| functions(line, verb, program));
    let first_two = |stack: &Option<Vec<String>>| stack.as_ref().and_then(|stack| stack.get(..2).map(<[_]>::to_vec));
    let right = first_two(&stacks[0]).is_some_and(|found| found == allocated)
        && match freed {
            Some(freed) => first_two(&stacks[1]).is_some_and(|found| found == freed),
            None => stacks[1].is_none(),
        };
    let right = right && line.starts_with(&format!("hmalloc: {begin}")) && line.ends_with(']');
    (!right).then(|| format!("{words} {name}: {stacks:?}\n{}\n", describe(&output)))
}

#[test]
fn lines_name_the_callers_of_allocation_and_free() {
    let installed = Installed::new();
    let program = compile(&installed);
    let all = ["1,callers", "zero,callers"].into_iter().flat_map(|words| CASES.map(|case| (words, case)));
    let wrong: String = all.filter_map(|(words, case)| judge(&installed, &program, words, case)).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

/// The control: without the word, lines have the threads alone.
#[test]
fn callers_are_not_named_unasked() {
    let installed = Installed::new();
    let program = compile(&installed);
    for name in ["overflow", "written_after", "twice"] {
        let output = run(installed.preloaded(&program).arg(name).env("HMALLOC_CHECKED", "1"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("hmalloc: ") && !said.contains("+0x"), "{name}: {}", describe(&output));
    }
}
