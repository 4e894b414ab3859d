//! The options of `hmalloc-run`: what each tells the library, and what is none.

use super::programs::Programs;
use support::installed::describe;

/// What a program sees of the variables that options set.
const SAID: &str = "/bin/echo \"$HMALLOC_CHECKED;$HMALLOC_GUARDS;$HMALLOC_PROFILE;$HMALLOC_REPORT;$1\"";

#[test]
fn each_option_sets_its_variable() {
    let programs = Programs::new();
    let told = |options: &[&str]| {
        let words = [options, &["sh", "-c", SAID, "sh", "--report"]].concat();
        let (output, processes) = programs.on(programs.hmalloc_run(), &words);
        assert!(output.status.success() && processes > 0, "{options:?}: {}", describe(&output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.replace(programs.path("").to_str().expect("a path").trim_end_matches('/'), "@")
    };
    for (options, said) in [
        // Behind the program's name nothing is an option.
        (&[] as &[&str], ";;;;--report\n"),
        (&["--"], ";;;;--report\n"),
        (&["--checked"], "1;;;;--report\n"),
        (&["--checked=zero,callers", "--report"], "zero,callers;;;1;--report\n"),
        (&["--guards", "--profile", "a b", "--"], ";1;@/a b;;--report\n"),
        (&["--guards=4096", "--profile=sub/file"], ";4096;@/sub/file;;--report\n"),
        (&["--profile", "/tmp/hmalloc-test-profile"], ";;/tmp/hmalloc-test-profile;;--report\n"),
    ] {
        assert_eq!(told(options), said, "{options:?}");
    }
}

#[test]
fn what_is_no_option_is_said_and_nothing_runs() {
    let programs = Programs::new();
    for options in [
        &["--chekced"] as &[&str],
        &["-c"],
        &["--checked="],
        &["--guards="],
        &["--profile="],
        &["--profile"],
        &["--report=1"],
        &["--report"],
        &["--"],
        &[],
    ] {
        // The last ones lack the program, or take its name for their value.
        let lacking = options.last().is_none_or(|last| ["--profile", "--report", "--"].contains(last));
        let words = if lacking { options.to_vec() } else { [options, &["dynamic"]].concat() };
        let (output, processes) = programs.on(programs.hmalloc_run(), &words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let right = output.status.code() == Some(2) && output.stdout.is_empty() && processes == 0;
        assert!(right && stderr.contains("\nusage: "), "{options:?}: {}", describe(&output));
    }
    // An installation without what makes the page; a page that could not be written is said before the program runs, too.
    for (options, why) in [
        (["--timeline", "page.html", "dynamic"], ": timeline/install of a clone of the repository puts them there\n"),
        (["--timeline", "", "dynamic"], "--timeline: no path is given\n"),
    ] {
        let (output, processes) = programs.on(programs.hmalloc_run(), &options);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains(why) && output.stdout.is_empty() && processes == 0,
            "{options:?}: {}",
            describe(&output)
        );
    }
    let (output, _) = programs.on(programs.hmalloc_run(), &["--help"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.starts_with("usage: "), "{}", describe(&output));
    // A program whose name begins like an option.
    programs.compile("-dash", "cc", &[]);
    programs.runs(&["--", "-dash"], "ran\n");
}
