//! What it is told in its arguments, and what it says when it cannot read or write.

use super::{WORDS, assert_status, shell, words};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use support::programs::{run, stderr, stdout};
use tempfile::TempDir;

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
