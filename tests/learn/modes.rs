//! The pages on reports, on checked mode, and on profiles and guards: what they type is run, and says what they say.

use std::fs;
use support::installed::{Installed, command, describe, run};
use support::places::repository;
use tempfile::TempDir;

/// The blocks of a page that are marked `sh` and have one marked `text` behind them, which is what they print.
fn dialogues(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in page.split("\n```sh\n").skip(1) {
        let (commands, rest) = part.split_once("\n```\n").expect("the block ends");
        if let Some((printed, _)) = rest.strip_prefix("\n```text\n").and_then(|rest| rest.split_once("\n```")) {
            found.push((commands.to_owned(), printed.to_owned()));
        }
    }
    found
}

/// Whether the lines of `text` begin as those of `pattern` do, in which `…` stands for anything within a line.
fn agrees(text: &str, pattern: &str) -> bool {
    let same = |text: &str, pattern: &str| {
        let (mut rest, mut first) = (text, true);
        for piece in pattern.split('…') {
            let Some(at) = rest.find(piece).filter(|at| !first || *at == 0) else { return false };
            (rest, first) = (&rest[at + piece.len()..], false);
        }
        rest.is_empty() || pattern.ends_with('…')
    };
    text.lines().count() >= pattern.lines().count()
        && text.lines().zip(pattern.lines()).all(|(text, pattern)| same(text, pattern))
}

/// Does what a page says, with a folder of its own for what it says of `/tmp`.
fn follow(page: &str, count: usize) {
    let text = fs::read_to_string(repository("learn/book/src").join(page)).expect("a page");
    let all = dialogues(&text);
    assert_eq!(all.len(), count, "{page}");
    let folder = TempDir::new().expect("a folder");
    let here = folder.path().to_str().expect("a path in text");
    let _turn = Installed::turn();
    for (commands, printed) in all {
        let mut shell = command("sh");
        shell.args(["-c", &commands.replace("/tmp", here)]).current_dir(repository(""));
        let output = run(&mut shell);
        // What the heap says is on standard error; a build is silent there, or comes before.
        let said = [&output.stderr, &output.stdout].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat();
        let printed = printed.replace("/tmp", here);
        assert!(agrees(&said, &printed), "{page}:\n{commands}\nwas to print\n{printed}\n{}", describe(&output));
    }
}

#[test]
fn the_page_on_giving_back_is_right() {
    follow("giving-back.md", 1);
}

#[test]
fn the_page_on_checked_mode_is_right() {
    follow("checked-mode.md", 1);
}

#[test]
fn the_page_on_profile_and_guards_is_right() {
    follow("profile.md", 2);
}

#[test]
fn what_is_printed_is_compared() {
    assert!(agrees("1 byte at 0x12 [a]\nmore\n", "1 byte at 0x… […]") && agrees("a\nb\n", "a\nb"));
    for (text, pattern) in [("2 bytes\n", "1 byte"), ("ab\n", "a"), ("ba\n", "a"), ("a\n", "a\nb"), ("", "a")] {
        assert!(!agrees(text, pattern), "{text}: {pattern}");
    }
}
