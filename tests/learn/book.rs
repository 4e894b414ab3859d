//! The book: its pages, its links, and what a reader types.

use crate::solved::workshop;
use learn::exercise::EXERCISES;
use learn::sim::sim;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use support::places::repository;
use tempfile::TempDir;

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    repository("learn/book/src")
}

/// The pages by their names, and the texts that a learner reads beside them.
fn pages() -> Vec<(String, String)> {
    let entries = fs::read_dir(folder()).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let beside = ["learn/README.md", "CONTRIBUTING.md"].map(repository);
    let mut pages: Vec<_> = paths.chain(beside).map(|path| (path.display().to_string(), text(&path))).collect();
    pages.sort();
    assert!(pages.len() > 20, "the folder was read");
    pages
}

/// What stands in parentheses behind brackets.
fn links(text: &str) -> Vec<String> {
    let parts = text.split("](").skip(1);
    parts.filter_map(|part| part.split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

/// That a link leads to something is verified for all documents (`adoption`, `readmes`). The book is made of this folder alone.
#[test]
fn pages_of_the_book_link_to_each_other_only() {
    let mut seen = 0;
    for (page, text) in pages().iter().filter(|(page, _)| Path::new(page).starts_with(folder())) {
        for link in links(text).iter().filter(|link| !link.is_empty() && !link.contains("://")) {
            assert!(!link.contains("..") && !link.starts_with('/'), "{page} links to {link}");
            seen += 1;
        }
    }
    assert!(seen > 20, "links were found");
    assert_eq!(links("[a](b.md) and [c](d)"), ["b.md", "d"]);
}

#[test]
fn the_summary_has_every_page_once() {
    // A page without a link is one to come.
    let listed: Vec<String> =
        links(&text(&folder().join("SUMMARY.md"))).into_iter().filter(|link| !link.is_empty()).collect();
    let unique: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(unique.len(), listed.len());
    let here: BTreeSet<String> = fs::read_dir(folder())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .filter(|name| name != "SUMMARY.md")
        .collect();
    assert_eq!(here, listed.into_iter().collect());
}

#[test]
fn the_gaps_of_an_exercise_are_explained_on_its_page() {
    for exercise in &EXERCISES {
        let page = text(&folder().join(format!("exercise-{}.md", exercise.number)));
        for gap in exercise.gaps().expect("an exercise") {
            // "tests" and "an ordering" are what a whole page is about.
            let Some((name, _)) = gap.hint.split_once(':').filter(|(name, _)| *name != "tests") else { continue };
            assert!(
                page.contains(&format!("`{name}`")),
                "the page of exercise {} does not explain {name}",
                exercise.number
            );
        }
    }
}

/// Lines of the blocks that are commands.
fn commands() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (page, text) in pages() {
        let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
        for line in blocks.flat_map(|(block, _)| block.lines()) {
            let command = line.split("  #").next().unwrap_or_default().trim();
            found.push((page.clone(), command.to_owned()));
        }
    }
    assert!(found.len() > 30, "commands were found");
    found
}

/// The words of a command, with quotes taken away.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// What is run by other tests, or is git's or the shell's.
const KNOWN: [&str; 11] = [
    "cargo",
    "git",
    "mdbook",
    "rustup",
    "apt-get",
    ".ci/run",
    "tests/miri",
    "cc",
    "capi/hmalloc-run",
    "HMALLOC_PROFILE_EVERY=1",
    "head",
];

/// Every script on a page plays; every grade is of an exercise; every test and every target that is named exists.
#[test]
fn what_a_reader_types_works() {
    let (workshop, mut scripts, mut tests) = (workshop(), 0, 0);
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path().to_str().expect("a path in text");
    for (page, command) in commands() {
        let all = words(&command);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        match all[..] {
            ["cargo", "run", "-p", "learn", "--", "sim", ref rest @ ..] => {
                let mut output = Vec::new();
                let rest = rest.iter().map(|word| word.replace("/tmp", folder)).collect::<Vec<_>>();
                let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
                let status = sim(&workshop, &rest, &mut output).expect("a vector can be written");
                assert_eq!(status, 0, "{page}: {command}\n{}", String::from_utf8_lossy(&output));
                scripts += 1;
            }
            ["cargo", "run", "-p", "learn", "--", "grade", number, ref rest @ ..] => {
                assert!(EXERCISES.iter().any(|exercise| exercise.number.to_string() == number), "{page}: {command}");
                assert!(rest.is_empty() || rest == ["--quick"], "{page}: {command}");
            }
            ["cargo", "run", "-p", "learn", "--", "list"] => {
                let mut output = Vec::new();
                assert_eq!(learn::run(&["list"], &mut output), 0);
                let said = String::from_utf8(output).expect("text");
                assert_eq!(said.lines().count(), EXERCISES.len(), "{said}");
            }
            ["cargo", "nextest", "run", "--test", target, ref name @ ..] => {
                let files = rust_files(&repository("tests").join(target));
                let named = |name: &&str| {
                    files.iter().any(|file| {
                        let here = text(file);
                        here.contains(&format!("fn {name}("))
                            || here.contains(&format!("mod {name};"))
                            || here.contains(&format!("{name}!"))
                    })
                };
                assert!(!files.is_empty() && name.iter().all(named), "{page}: {command}");
                tests += 1;
            }
            // `modes` runs what the pages on these say, the tour's own tests and those of `capi` the rest.
            _ => assert!(KNOWN.contains(&all[0]), "{page}: {command}"),
        }
    }
    assert!(scripts > 10 && tests > 5, "{scripts} scripts, {tests} tests");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] }).collect()
}

/// The table of machines is the one that is measured.
#[test]
fn the_page_of_machines_agrees_with_what_is_measured() {
    let page = text(&folder().join("sigbus.md"));
    let expected = text(&repository("qemu/expected.txt"));
    let mut count = 0;
    for line in expected.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let row =
            page.lines().find(|row| row.starts_with(&format!("| {} |", words[0]))).expect("a row for each machine");
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().replace('*', "")).collect();
        assert_eq!(cells[3..6], [words[5], words[6], words[7]], "{row}");
        count += 1;
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("| ")).count(), count + 1, "and no other rows");
}
