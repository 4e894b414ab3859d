//! The table of what is refused, in `tests/README.md`: each test that it names is there.

use hmalloc::MisuseKind;
use std::fs;
use std::path::Path;
use support::places::repository;

/// All lines of the Rust files in a folder.
fn lines(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            lines.extend(self::lines(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            lines.extend(fs::read_to_string(entry).expect("a source file").lines().map(|line| line.trim().to_owned()));
        }
    }
    lines
}

/// Whether one of the lines begins the test called `name`.
fn has_test(lines: &[String], name: &str) -> bool {
    let begins = format!("fn {name}(");
    lines.iter().enumerate().any(|(number, line)| {
        let before = || lines[..number].iter().rev().take_while(|line| line.starts_with("#["));
        line.starts_with(&begins) && before().any(|line| line == "#[test]")
    })
}

/// The words in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The last cell of each row: a target, or `src`, and tests of it. The cells before it.
fn rows(readme: &str) -> Vec<(String, Vec<&str>)> {
    let section = readme.split_once("\n## What is refused, when, and by which test\n").expect("the section").1;
    let section = section.split_once("\n## ").expect("the next one").0;
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    cells
        .skip(1)
        .map(|row| row.rsplit_once('|').expect("cells"))
        .map(|(rest, tests)| (rest.to_owned(), quoted(tests)))
        .collect()
}

/// The tests that rows name and that are not there.
fn missing(rows: &[(String, Vec<&str>)]) -> Vec<String> {
    let mut missing = Vec::new();
    for (_, named) in rows {
        let Some((target, tests)) = named.split_first() else { continue };
        let folder = if *target == "src" { repository("src") } else { repository("tests").join(target) };
        let lines = lines(&folder);
        missing.extend(tests.iter().filter(|name| !has_test(&lines, name)).map(|name| format!("{target}: {name}")));
    }
    missing
}

#[test]
fn each_test_that_the_table_names_is_there() {
    let readme = fs::read_to_string(repository("tests/README.md")).expect("the README");
    let rows = rows(&readme);
    assert!(rows.len() > 20, "{} rows", rows.len());
    assert_eq!(missing(&rows), [""; 0]);
    // One row says what is not refused, and names no test.
    assert_eq!(rows.iter().filter(|(_, named)| named.len() < 2).count(), 1);
    let kinds = [
        MisuseKind::OutsideHeap,
        MisuseKind::Misaligned,
        MisuseKind::NotABlock,
        MisuseKind::AlreadyFree,
        MisuseKind::WrongLayout,
    ];
    let kinds = kinds.map(|kind| format!("`{kind:?}`")).into_iter().chain(["`Overwritten`".to_owned()]);
    for kind in kinds {
        assert!(rows.iter().any(|(rest, named)| rest.contains(&kind) && named.len() > 1), "no row names {kind}");
    }
}

/// The control: a name that no test has is found out, and so is one of a function that is no test.
#[test]
fn a_test_that_is_not_there_is_missed() {
    let row = |name| vec![(String::new(), vec!["misuse", "a_misaligned_pointer", name])];
    assert_eq!(missing(&row("a_misaligned_pointer")), [""; 0]);
    assert_eq!(missing(&row("a_pointer_that_nobody_has")), ["misuse: a_pointer_that_nobody_has"]);
    assert_eq!(missing(&row("has_test")), ["misuse: has_test"]);
}
