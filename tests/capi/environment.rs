//! The environment is read at start, and not at all by a program with more rights than its caller. What `HMALLOC_LOG`
//! names is written to only if it is an ordinary place for a log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::installed::{Installed, aborted, as_root, cases, command, describe, run, succeed};
use support::packages;
use support::places::repository;

/// A program of `environment.c` whose libc says what `secure` says about its rights.
fn compile(installed: &Installed, secure: Option<u8>) -> PathBuf {
    let program = installed.directory.path().join("environment-c");
    let source = repository("tests/capi/environment.c");
    let mut compile = command("cc");
    compile.args(["-std=gnu11", "-O1", "-fno-builtin", "-w", "-rdynamic"]).arg(source);
    compile.args(secure.map(|secure| format!("-DSECURE={secure}")));
    succeed(compile.arg("-o").arg(&program));
    program
}

/// The program, to write its line to `log`.
fn logged(installed: &Installed, program: &Path, case: &str, log: &Path) -> Command {
    let mut command = installed.preloaded(program);
    command.arg(case).env("HMALLOC_STATS", "1").env("HMALLOC_LOG", log).env("HMALLOC_POLICY", "report");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_summary(text: &str) -> bool {
    text.starts_with("hmalloc: process ") && text.ends_with("; sound\n") && text.lines().count() == 1
}

#[test]
fn what_was_said_at_start_holds_at_exit() {
    let installed = Installed::new();
    let program = compile(&installed, None);
    for case in cases(&program) {
        let log = installed.directory.path().join(&case);
        let output = run(&mut logged(&installed, &program, &case, &log));
        let line = fs::read_to_string(&log).unwrap_or_default();
        assert!(output.status.success() && is_summary(&line), "{case}: {line}{}", describe(&output));
        let reported = stderr(&output).starts_with("hmalloc: free: 0x");
        assert_eq!(reported, String::from_utf8_lossy(&output.stdout).ends_with("lived on\n"), "{case}");
    }
}

/// The report, and the line after it, are appended to the log; without one they go to standard error.
#[test]
fn a_report_is_written_at_exit() {
    let installed = Installed::new();
    let log = installed.directory.path().join("log");
    let perl = || {
        let mut perl = installed.preloaded("perl");
        perl.args(["-e", "my @words = map { 'word' x $_ } 1 .. 1000;"]).env("HMALLOC_REPORT", "1");
        perl
    };
    let is_report = |report: &str| {
        let ends = report.starts_with("hmalloc: report of process ") && report.contains("\nhmalloc:   kept: ");
        // Whose the slabs are is seen: nothing is gathered before.
        let tier = report.contains("\nhmalloc:   tier 1, of the first thread: ");
        ends && tier && report.lines().all(|line| line.starts_with("hmalloc: "))
    };
    succeed(perl().env("HMALLOC_STATS", "1").env("HMALLOC_LOG", &log));
    let text = fs::read_to_string(&log).expect("a log");
    let (report, line) = text.split_at(text.rfind("hmalloc: process ").expect("a line"));
    assert!(is_report(report) && is_summary(line), "{text}");
    let output = run(&mut perl());
    assert!(output.status.success() && is_report(&stderr(&output)), "{}", describe(&output));
}

/// Nothing is set at start: what the program sets later has no effect.
#[test]
fn what_was_not_said_at_start_is_not_heard() {
    let installed = Installed::new();
    let program = installed.directory.path().join("late");
    let source = program.with_extension("c");
    let text = "#include <stdlib.h>\nint main(void) { setenv(\"HMALLOC_STATS\", \"1\", 1); setenv(\"HMALLOC_POLICY\", \"ignore\", 1);\n\
        char *volatile block = malloc(10); if (getenv(\"TWICE\")) free(block); free(block); return 0; }\n";
    fs::write(&source, text).expect("a source file");
    succeed(command("cc").args(["-w", "-fno-builtin"]).arg(&source).arg("-o").arg(&program));
    let output = run(&mut installed.preloaded(&program));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", describe(&output));
    assert!(aborted(run(installed.preloaded(&program).env("TWICE", "1")).status));
}

#[test]
fn a_program_with_more_rights_does_not_listen() {
    let installed = Installed::new();
    let log = installed.directory.path().join("log");
    // The control: where libc does not know of the entry, the numbers tell that there are no more rights.
    for (secure, wanted) in [(Some(1), false), (Some(0), true), (None, true)] {
        let program = compile(&installed, secure);
        let _ = fs::remove_file(&log);
        let output = run(&mut logged(&installed, &program, "a_double_free", &log));
        assert_eq!(output.status.success(), wanted, "{secure:?}: {}", describe(&output));
        assert!(wanted || aborted(output.status), "{}", describe(&output));
        assert_eq!(log.exists(), wanted, "{secure:?}");
        succeed(&mut logged(&installed, &program, "errno_is_left_alone", &log));
        assert_eq!(log.exists(), wanted, "{secure:?}");
    }
}

/// The real thing: a set-user-ID and a set-group-ID program of root's, linked with the library and started
/// by the user `nobody`. The control has neither bit.
#[test]
fn a_program_that_is_set_user_or_group_id_does_not_listen() {
    let installed = Installed::new();
    let folder = installed.directory.path();
    let program = folder.join("linked");
    let source = repository("tests/capi/environment.c");
    let mut compile = command("cc");
    compile.args(["-w", "-fno-builtin"]).arg(source).arg("-L").arg(installed.prefix().join("lib"));
    compile.arg(format!("-Wl,--no-as-needed,-rpath,{}", installed.prefix().join("lib").display())).arg("-lhmalloc");
    succeed(compile.arg("-o").arg(&program));
    let open = folder.join("open");
    fs::create_dir(&open).expect("a folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("it can be entered");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("anyone can write there");
    succeed(as_root("chown").arg("0:0").arg(&program));
    for (mode, numbers) in
        [("755", "65534 65534 65534 65534"), ("4755", "65534 0 65534 65534"), ("2755", "65534 65534 65534 0")]
    {
        succeed(as_root("chmod").arg(mode).arg(&program));
        let log = open.join(mode);
        let mut start = as_root("setpriv");
        start.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "env",
            "HMALLOC_STATS=1",
            "HMALLOC_POLICY=ignore",
        ]);
        let output = run(start.arg(format!("HMALLOC_LOG={}", log.display())).arg(&program).arg("a_double_free"));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.starts_with(numbers),
            "the file system does not let a program have other rights: {}",
            describe(&output)
        );
        let wanted = mode == "755";
        assert_eq!(
            (log.exists(), output.status.success(), said.ends_with("lived on\n")),
            (wanted, wanted, wanted),
            "{mode}"
        );
    }
}

/// What stands in the way of the log, made by a shell at the path `$LOG`, and what is said of it.
const OBSTACLES: [(&str, &str); 6] = [
    ("ln -s target \"$LOG\"; : >target", "ELOOP"),
    ("ln -s target \"$LOG\"", "ELOOP"),
    ("mkdir \"$LOG\"", "EISDIR"),
    ("mkfifo \"$LOG\"", "ENXIO"),
    ("ln -s /proc/self/fd/2 \"$LOG\"", "ELOOP"),
    (": >file; LOG=file/log", "ENOTDIR"),
];

#[test]
fn a_log_that_is_not_a_file_is_refused_and_said() {
    let installed = Installed::new();
    for (number, (make, reason)) in OBSTACLES.into_iter().enumerate() {
        let folder = installed.directory.path().join(number.to_string());
        fs::create_dir(&folder).expect("a folder");
        let mut shell = command("sh");
        let script = format!(
            "LOG=log; {make}; export HMALLOC_LOG=\"$LOG\" HMALLOC_STATS=1 LD_PRELOAD=\"$1\"; exec timeout 20 /bin/true"
        );
        let output = run(shell.args(["-euc", &script, "sh"]).arg(installed.shared()).current_dir(&folder));
        // `timeout` starts the program in its own process's child: both have something to say.
        let told = stderr(&output);
        let expected = format!("hmalloc: HMALLOC_LOG cannot be written, {reason}: standard error it is");
        let [first, second, ..] = told.lines().collect::<Vec<_>>()[..] else { panic!("{make}: {}", describe(&output)) };
        assert!(output.status.success() && first == expected, "{make}: {}", describe(&output));
        assert!(second.starts_with("hmalloc: process "), "{make}: {}", describe(&output));
        assert!(fs::read(folder.join("target")).unwrap_or_default().is_empty(), "{make}");
        assert_eq!(folder.join("target").exists(), make.ends_with(">target"), "{make}");
    }
}

/// A FIFO that is read gets the line; one that is full is not waited for.
#[test]
fn a_fifo_gets_the_line_if_it_has_room() {
    let installed = Installed::new();
    let script = "mkfifo log; exec 3<>log; if [ \"$2\" = full ]; then \
        dd if=/dev/zero of=/proc/self/fd/3 oflag=nonblock bs=4096 count=1000 2>dd || true; fi; \
        HMALLOC_STATS=1 HMALLOC_LOG=log LD_PRELOAD=\"$1\" \"$3\" nothing; if [ \"$2\" = empty ]; then head -n 1 <&3; fi";
    let program = compile(&installed, None);
    for state in ["empty", "full"] {
        let folder = installed.directory.path().join(state);
        fs::create_dir(&folder).expect("a folder");
        let mut shell = command("timeout");
        shell.args(["20", "sh", "-euc", script, "sh"]).arg(installed.shared()).arg(state).arg(&program);
        let output = run(shell.current_dir(&folder));
        assert!(output.status.success(), "{state}: {}", describe(&output));
        let (said, told) = (String::from_utf8_lossy(&output.stdout), stderr(&output));
        let expected = "hmalloc: HMALLOC_LOG cannot be written, EAGAIN: standard error it is\n";
        match state {
            "empty" => assert!(is_summary(&said) && told.is_empty(), "{}", describe(&output)),
            _ => assert!(told.strip_prefix(expected).is_some_and(is_summary), "{}", describe(&output)),
        }
    }
}

/// How it is opened, as the kernel sees it: what is open for a moment is not inherited, and no terminal is acquired.
#[test]
fn the_log_is_opened_with_care() {
    let installed = Installed::new();
    let program = compile(&installed, None);
    let log = installed.directory.path().join("log");
    let trace = installed.directory.path().join("trace");
    let mut traced = command(packages::program(&["strace"], "strace"));
    traced
        .args(["-e", "trace=openat", "-o"])
        .arg(&trace)
        .arg("-E")
        .arg(format!("LD_PRELOAD={}", installed.shared().display()));
    traced.arg(&program).arg("nothing").env("HMALLOC_STATS", "1").env("HMALLOC_LOG", &log);
    succeed(&mut traced);
    let text = fs::read_to_string(&trace).expect("a trace");
    let call = text.lines().find(|line| line.contains(&log.display().to_string())).expect("the log is opened");
    for flag in ["O_WRONLY", "O_CREAT", "O_APPEND", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY"] {
        assert!(call.contains(flag), "{flag}: {call}");
    }
}

#[test]
fn a_log_that_is_too_long_for_a_path_is_said_and_ignored() {
    let installed = Installed::new();
    let program = compile(&installed, None);
    for (length, fits) in [(4095, true), (4096, false), (100_000, false)] {
        let path = format!("{}/{}", installed.directory.path().display(), "./".repeat(length));
        let mut path = path[..length - 3].to_owned();
        path.push_str("log");
        // The slashes and dots must end before the name.
        let path = path.replace(".log", "/log");
        let log = installed.directory.path().join("log");
        let _ = fs::remove_file(&log);
        let output = run(&mut logged(&installed, &program, "nothing", Path::new(&path)));
        let warning = "hmalloc: HMALLOC_LOG is no path, being too long: standard error it is\n";
        assert_eq!(path.len(), length);
        assert_eq!(log.exists(), fits, "{length}: {}", describe(&output));
        let told = stderr(&output);
        let right = if fits { told.is_empty() } else { told.strip_prefix(warning).is_some_and(is_summary) };
        assert!(output.status.success() && right, "{length}: {}", describe(&output));
    }
}
