//! The main job: `words`, the libc-free program on the heap, against an oracle that shares nothing with it.

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
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

/// Fragments that are hard to cut: letters of one to four bytes, letters whose lower case has another length or depends
/// on its place, separators, and every kind of wrong bytes.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "a",
            "A",
            "the",
            "The",
            "ΟΔΟΣ",
            "ὈΔΥΣΣΕΎΣ",
            "Σ",
            "naïve",
            "İstanbul",
            "ß",
            "ẞ",
            "१२३",
            "Ⅷ",
            "½",
            "漢字",
            "𝒳",
            "𐐀",
            "ﬁ",
            "e\u{301}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::sample::select(vec![" ", "\n", "-", "'", "_", "\0", "\u{a0}", "—", "😀", "\u{feff}", "\u{10ffff}"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::sample::select(vec![
            &b"\xff"[..],
            b"\xc3",
            b"\xc0\x80",
            b"\xe2\x82",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x98",
            b"\xf0\x80\x80\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\x80",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// The program reads 64 KiB at a time; the hard fragments lie around the end of the first and second such piece.
    #[test]
    fn counts_like_the_oracle(
        filler in prop::sample::select(vec![b'x', b' ', b'\n', 0xff]),
        before in 0usize..3,
        shift in 0usize..16,
        fragments in prop::collection::vec(fragment(), 0..40),
        top in prop::sample::select(vec![0usize, 1, 3, 20, 1_000_000]),
    ) {
        let mut text = vec![filler; (before * 65536).saturating_sub(shift)];
        text.extend(fragments.concat());
        compare(&text, top);
    }
}

#[test]
fn counts_this_repository() {
    for path in ["src/kernel/brk/mod.rs", "src/lib.rs", "Cargo.toml", "tests/libc_free/words.rs"] {
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
fn reads_the_readme_by_default_and_says_when_there_is_none() {
    let directory = TempDir::new().expect("a temporary directory");
    let output = run(words().current_dir(&directory), b"");
    assert_status(&output, 1);
    assert!(stderr(&output).contains("there is no README.md in this directory"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    fs::write(directory.path().join("README.md"), "One fish, two fish").expect("a temporary file");
    let output = run(words().arg("--quiet").current_dir(&directory), b"");
    assert_status(&output, 0);
    assert_eq!(stdout(&output), "2 fish\n1 one\n1 two\n");
    assert_eq!(stderr(&output), "");
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

/// Every way in which a file cannot be read has its own message, and status 1.
#[test]
fn says_why_a_file_cannot_be_read() {
    let directory = TempDir::new().expect("a temporary directory");
    // `nobody` has to reach the program.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("the directory is ours");
    let copy = directory.path().join("words");
    fs::copy(&*WORDS, &copy).expect("the program can be copied");
    let secret = directory.path().join("secret");
    fs::write(&secret, "secret").expect("a temporary file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("the file is ours");
    let cases: [(&Path, &str); 5] = [
        (&directory.path().join("missing"), "No such file or directory"),
        (directory.path(), "Is a directory"),
        (&secret, "Permission denied"),
        (&secret.join("below"), "Not a directory"),
        // The first page of a process is never mapped, so reading there fails after opening worked.
        (Path::new("/proc/self/mem"), "I/O error"),
    ];
    for (path, reason) in cases {
        let mut command = Command::new(&copy);
        command.arg(path);
        if path == secret && fs::read(&secret).is_ok() {
            // Root may read everything; nobody may not.
            command.uid(65534).gid(65534);
        }
        let output = run(&mut command, b"");
        assert_status(&output, 1);
        assert_eq!(stdout(&output), "");
        assert_eq!(stderr(&output), format!("words: {}: {reason}\n", path.display()));
    }
}

#[test]
fn refuses_bad_arguments() {
    let cases: [(&[&str], &str); 7] = [
        (&["--top"], "--top needs a number"),
        (&["--top", "many"], "--top needs a number, not \"many\""),
        (&["--top", "-1"], "--top needs a number, not \"-1\""),
        (&["--top", "99999999999999999999999"], "--top needs a number, not \"99999999999999999999999\""),
        (&["--loud"], "unknown option \"--loud\""),
        (&["one", "two"], "one file at a time: \"two\" is a second"),
        (&["-", "-"], "one file at a time: \"-\" is a second"),
    ];
    for (arguments, complaint) in cases {
        let output = run(words().args(arguments), b"");
        assert_status(&output, 1);
        assert_eq!(stdout(&output), "");
        assert_eq!(stderr(&output), format!("words: {complaint}\nusage: words [--top N] [--quiet] [FILE | -]\n"));
    }
}

#[test]
fn helps_and_takes_odd_file_names() {
    let output = run(words().arg("--help"), b"");
    assert_status(&output, 0);
    assert!(stdout(&output).starts_with("usage: words [--top N] [--quiet] [FILE | -]\n"));
    let directory = TempDir::new().expect("a temporary directory");
    fs::write(directory.path().join("--quiet"), "odd").expect("a temporary file");
    let output = run(words().args(["--quiet", "--", "--quiet"]).current_dir(&directory), b"");
    assert_status(&output, 0);
    assert_eq!(stdout(&output), "1 odd\n");
    let output = run(words().arg("line\nbreak\x1b[31m"), b"");
    assert_eq!(stderr(&output), "words: line\u{fffd}break\u{fffd}[31m: No such file or directory\n");
}

/// Runs a shell line in which `$0` is the program.
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).arg(&*WORDS);
    command
}

#[test]
fn says_when_standard_output_or_input_fails() {
    let output = run(&mut shell("exec \"$0\" --quiet - >&-"), b"word");
    assert_status(&output, 1);
    assert!(stderr(&output).starts_with("words: standard output: Bad file"), "{}", stderr(&output));
    let output = run(&mut shell("exec \"$0\" --quiet - >/dev/full"), b"word");
    assert_status(&output, 1);
    assert_eq!(stderr(&output), "words: standard output: No space left on device\n");
    let output = run(&mut shell("exec \"$0\" - <&-"), b"");
    assert_status(&output, 1);
    assert!(stderr(&output).starts_with("words: standard input: Bad file"), "{}", stderr(&output));
}

#[test]
fn says_when_the_reader_of_its_output_is_gone() {
    let mut child = words()
        .args(["--quiet", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("words runs");
    drop(child.stdout.take());
    child.stdin.take().expect("piped").write_all(b"word").expect("words reads");
    let output = child.wait_with_output().expect("words ends");
    assert_status(&output, 1);
    assert_eq!(stderr(&output), "words: standard output: Broken pipe\n");
}

const BIG: usize = 200 << 20;

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

/// A single word of 200 MB is counted where there is memory for it, and is a clear message where there is not.
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

/// The words come first, exactly as with `--quiet`; then the heap: statistics, map and slabs.
#[test]
fn shows_its_heap() {
    let text: String = (0..20_000).map(|number| format!("word{number} ")).collect();
    let quiet = run(words().args(["--quiet", "-"]), text.as_bytes());
    let output = run(words().arg("-"), text.as_bytes());
    assert_status(&output, 0);
    let shown = stdout(&output);
    let heap = shown.strip_prefix(&stdout(&quiet)).expect("the words come first").trim_start();
    assert!(heap.starts_with("the heap: "), "{heap}");
    let blocks = heap.lines().find(|line| line.trim_start().starts_with("used ")).expect("a line on used memory");
    let blocks: usize =
        blocks.split_whitespace().rev().nth(1).and_then(|count| count.parse().ok()).expect("its blocks");
    assert!(blocks >= 20_000, "every different word is a block: {blocks}");
    for promised in ["  free ", "  metadata ", "the map: ", "the break\n", "the slabs: "] {
        assert!(heap.contains(promised), "{promised:?} is not in\n{heap}");
    }
    let (_, map) = heap.split_once("the map: ").expect("checked above");
    let rows: Vec<&str> = map.lines().skip(1).take_while(|line| !line.contains("break")).collect();
    assert!(!rows.is_empty());
    let mut signs = String::new();
    for row in rows {
        let mut parts = row.split_whitespace();
        assert!(parts.next().is_some_and(|address| address.starts_with("0x")), "{row}");
        signs += parts.next().expect("signs");
        assert!(row.len() <= 100, "{row}");
    }
    assert!(signs.chars().all(|sign| "M.#x123456789".contains(sign)), "{signs}");
    assert!(signs.starts_with('M') && signs.contains('#'), "{signs}");
}

/// What an ELF file asks of the system: its type, its interpreter, and the libraries it needs.
fn needs(path: &Path) -> (elf::FileType, bool, usize) {
    let data = fs::read(path).expect("the program can be read");
    let header = elf::FileHeader64::<Endianness>::parse(&*data).expect("a 64-bit ELF file");
    let endian = header.endian().expect("a known byte order");
    let (mut interpreter, mut needed) = (false, 0);
    for segment in header.program_headers(endian, &*data).expect("program headers") {
        interpreter |= segment.interpreter(endian, &*data).expect("a sound segment").is_some();
        if let Some(table) = segment.dynamic(endian, &*data).expect("a sound segment") {
            needed += table.iter().filter(|entry| entry.d_tag.get(endian) == elf::DT_NEEDED).count();
        }
    }
    (header.e_type.get(endian), interpreter, needed)
}

#[test]
fn is_static_at_a_fixed_address_and_position_independent() {
    // The control: this test itself has an interpreter and needs a libc.
    let (_, interpreter, needed) = needs(&std::env::current_exe().expect("this test's file"));
    assert!(interpreter && needed > 0);
    let (fixed, pie) = (program("words", false), program("words", true));
    assert_eq!(needs(&fixed), (elf::ET_EXEC, false, 0));
    assert_eq!(needs(&pie), (elf::ET_DYN, false, 0));
    let text = fs::read(repository("tests/libc_free/words.rs")).expect("this file");
    for program in [fixed, pie] {
        let output = run(Command::new(program).args(["--quiet", "-"]), &text);
        assert_status(&output, 0);
        assert_eq!(stdout(&output), oracle(&text, 20).0);
    }
}
