//! The main job: `words`, the libc-free program on the heap, against an oracle that shares nothing with it.

mod file;
mod fragments;
mod heap;
mod refusals;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use support::places::repository;
use support::programs::{program, run, stderr, stdout};
use tempfile::TempDir;

/// What the program has to print for a text, and how many of its bytes are not UTF-8.
fn oracle(text: &[u8], top: usize) -> (String, usize) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut invalid = 0;
    for part in text.utf8_chunks() {
        for word in part.valid().split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        invalid += part.invalid().len();
    }
    let mut ranking: Vec<_> = counts.into_iter().map(|(word, count)| (Reverse(count), word)).collect();
    ranking.sort();
    let lines = ranking.iter().take(top).map(|(Reverse(count), word)| format!("{count} {word}\n")).collect();
    (lines, invalid)
}

/// Built once for this process.
static WORDS: LazyLock<PathBuf> = LazyLock::new(|| program("words", false));

fn words() -> Command {
    Command::new(&*WORDS)
}

fn assert_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{:?}\n{}", output.status, stderr(output));
}

/// Runs `words` on a text given both as a file and on standard input, and compares with the oracle.
fn compare(text: &[u8], top: usize) {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("text");
    fs::write(&file, text).expect("a temporary file");
    let top_argument = top.to_string();
    let (lines, invalid) = oracle(text, top);
    for (name, input) in [(file.as_os_str(), &b""[..]), ("-".as_ref(), text)] {
        let output = run(words().args(["--quiet", "--top", &top_argument]).arg(name), input);
        assert_status(&output, 0);
        assert_eq!(stdout(&output), lines);
        assert_eq!(
            stderr(&output).contains(&format!("note: invalid UTF-8 separates words here: {invalid} bytes")),
            invalid > 0
        );
        assert_eq!(stderr(&output).contains("no words"), oracle(text, usize::MAX).0.is_empty());
    }
}

/// Runs a shell line in which `$0` is the program.
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).arg(&*WORDS);
    command
}

const BIG: usize = 200 << 20;

#[test]
fn counts_this_repository() {
    for path in ["README.md", "src/lib.rs", "Cargo.toml", "tests/libc_free/words/fragments.rs"] {
        compare(&fs::read(repository(path)).expect("a file of this repository"), 100);
    }
}

#[test]
fn prints_twenty_words_with_ties_in_alphabetical_order() {
    let text: String = (b'a'..=b'z').rev().map(|letter| format!("{0} {0}{0} ", char::from(letter))).collect();
    let output = run(words().args(["--quiet", "-"]), (text + "z zz z").as_bytes());
    assert_status(&output, 0);
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 20);
    assert_eq!(lines[..4], ["3 z", "2 zz", "1 a", "1 aa"]);
}

#[test]
fn an_empty_file_has_no_words() {
    for text in [&b""[..], b"... --- ...", b"\xff\xfe"] {
        let output = run(words().args(["--quiet", "-"]), text);
        assert_status(&output, 0);
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains("there are no words in it"));
    }
}

/// 200 MB of text go through an address space of 16 MiB: only the different words are kept.
#[test]
fn counts_a_big_file_in_little_memory() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("big");
    let mut file = BufWriter::new(File::create(&path).expect("a temporary file"));
    // Lines of 1000 bytes: every cut between pieces falls elsewhere in the line.
    let mut line = "Ein Wort, ein Satz: aus Chiffren steigen erkanntes Leben, jäher Sinn. ".repeat(15).into_bytes();
    line.truncate(999);
    line.push(b'\n');
    for _ in 0..BIG / line.len() {
        file.write_all(&line).expect("room for 200 MB in the temporary directory");
    }
    drop(file);
    let (one, invalid) = oracle(&line, 20);
    let expected: String = one
        .lines()
        .map(|line| {
            let (count, word) = line.split_once(' ').expect("COUNT WORD");
            format!("{} {word}\n", count.parse::<usize>().expect("COUNT") * (BIG / 1000))
        })
        .collect();
    let output = run(shell("ulimit -v 16384 && exec \"$0\" --quiet \"$1\"").arg(&path), b"");
    assert_status(&output, 0);
    assert_eq!(stdout(&output), expected);
    assert_eq!(invalid, 0);
    assert_eq!(stderr(&output), "");
}

/// A single word of 200 MB is counted where there is memory for it, and leads to a clear message where there is not.
#[test]
fn counts_one_big_word_or_says_that_memory_ran_out() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("word");
    fs::write(&path, vec![b'W'; BIG]).expect("room for 200 MB in the temporary directory");
    let output = run(words().arg("--quiet").arg(&path), b"");
    assert_status(&output, 0);
    assert_eq!(output.stdout.len(), "1 \n".len() + BIG);
    assert!(output.stdout.starts_with(b"1 w") && output.stdout[2..BIG + 2].iter().all(|&byte| byte == b'w'));
    let output = run(shell("ulimit -v 131072 && exec \"$0\" --quiet \"$1\"").arg(&path), b"");
    assert_status(&output, 1);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).starts_with("out of memory: memory allocation of "), "{}", stderr(&output));
}
