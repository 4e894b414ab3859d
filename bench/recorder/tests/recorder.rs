//! A program with known calls runs under the recorder; what was recorded is compared with the program's own log.

#[path = "../src/raw.rs"]
mod raw;

use bytemuck::Zeroable;
use raw::{ALIGNED, ALLOCATE, FREE, Header, MAGIC, RESIZE, Record, ZEROED};
use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What one run left behind.
struct Run {
    status: ExitStatus,
    stderr: String,
    log: Vec<Record>,
    child_log: Vec<Record>,
    files: Vec<(Header, Vec<Record>)>,
}

impl Run {
    /// The only file's records.
    fn records(&self) -> &[Record] {
        assert_eq!(self.files.len(), 1);
        &self.files[0].1
    }
}

/// The library as it is shipped. Cargo builds no library of this kind for a test, so the test asks for it.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args(["build", "--release", "--lib", "--message-format=json", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "the library does not build");
        let messages = String::from_utf8(output.stdout).expect("text");
        let mut paths = messages.split('"').filter(|part| part.ends_with("/libhmalloc_recorder.so"));
        paths.next_back().expect("cargo names the library").into()
    })
}

fn run(what: &str) -> Run {
    run_with(what, |folder| folder.to_str().expect("a plain path").to_owned())
}

fn run_with(what: &str, variable: impl FnOnce(&Path) -> String) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, log, traces) = (folder.path().join("calls"), folder.path().join("log"), folder.path().join("traces"));
    std::fs::create_dir(&traces).expect("a folder for the traces");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/calls.c");
    let compiled = Command::new("cc").args(["-O1", "-w", "-pthread", "-o"]).arg(&program).arg(source).status();
    assert!(compiled.expect("a C compiler: install the Debian package gcc").success());
    let mut child = Command::new(&program)
        .args([what.as_ref(), log.as_os_str()])
        .current_dir(folder.path())
        .env("LD_PRELOAD", library())
        .env("HMALLOC_TRACE", variable(&traces))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(60) {
            child.kill().expect("a child can be killed");
            panic!("{what} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let stderr = std::io::read_to_string(child.stderr.take().expect("a pipe")).expect("text");
    let mut files: Vec<_> =
        std::fs::read_dir(&traces).expect("a folder").flatten().map(|file| read(&file.path())).collect();
    files.sort_by_key(|(header, _)| header.started);
    Run { status, stderr, log: log_at(&log), child_log: log_at(&log.with_extension("child")), files }
}

fn log_at(path: &Path) -> Vec<Record> {
    records(&std::fs::read(path).unwrap_or_default())
}

fn read(path: &Path) -> (Header, Vec<Record>) {
    let bytes = std::fs::read(path).expect("a file");
    let (header, rest) = bytes.split_at(size_of::<Header>());
    let header: Header = bytemuck::pod_read_unaligned(header);
    assert!(header.magic == MAGIC && header.process != 0 && header.parent != 0 && header.zero == [0; 5]);
    (header, records(rest))
}

/// The records before the first that was not written; after it, all is zero.
fn records(bytes: &[u8]) -> Vec<Record> {
    let mut records: Vec<Record> = bytes.chunks_exact(size_of::<Record>()).map(bytemuck::pod_read_unaligned).collect();
    let end = records.iter().position(|record| record.kind == 0).unwrap_or(records.len());
    assert!(records[end..].iter().all(|record| *record == Record::zeroed()));
    records.truncate(end);
    records
}

/// No answer is the address of a live block, and none is freed that is not live.
fn assert_in_order(records: &[Record]) {
    let mut live = HashSet::new();
    for record in records {
        let is_refused_resize = record.kind == RESIZE && record.new == 0 && record.size != 0;
        if record.old != 0 && !is_refused_resize {
            assert!(live.remove(&record.old), "{record:x?} of a block that is not live");
        }
        if record.new != 0 {
            assert!(live.insert(record.new), "{record:x?} of a block that is live");
        }
    }
}

#[test]
fn every_call_is_recorded_as_it_was_made() {
    let run = run("every");
    assert!(run.status.success(), "{:?}", run.status);
    assert_eq!(run.records(), run.log);
    assert_in_order(&run.log);
    for kind in [ALLOCATE, ZEROED, ALIGNED, RESIZE, FREE] {
        assert!(run.log.iter().any(|record| record.kind == kind), "the program makes no call of kind {kind}");
    }
}

/// The comparison of the other tests can fail: one call that the log does not have, and nothing else, is seen.
#[test]
fn a_planted_call_is_seen() {
    let run = run("planted");
    let (last, others) = run.records().split_last().expect("records");
    assert_eq!(others, run.log);
    assert_eq!((last.kind, last.size), (ALLOCATE, 13));
}

#[test]
fn a_killed_process_loses_nothing() {
    let run = run("kill");
    assert_eq!(run.status.signal(), Some(9));
    assert!(!run.log.is_empty());
    assert_eq!(run.records(), run.log);
}

#[test]
fn the_file_grows_without_a_descriptor() {
    let run = run("many");
    assert!(run.status.success(), "{:?}", run.status);
    assert_eq!(run.log.len(), 200_000);
    assert!(run.records() == run.log);
}

#[test]
fn threads_are_recorded_in_one_order() {
    let run = run("threads");
    assert!(run.status.success(), "{:?}", run.status);
    let by_thread = |records: &[Record]| {
        let mut threads = HashMap::<u32, Vec<Record>>::new();
        records.iter().for_each(|record| threads.entry(record.thread).or_default().push(*record));
        threads
    };
    let (logged, recorded) = (by_thread(&run.log), by_thread(run.records()));
    assert_eq!(logged.len(), 3);
    for (thread, calls) in &logged {
        // What is freed as a thread ends is the C library's, and comes after the thread's own calls.
        let own = &recorded[thread][..calls.len()];
        assert!(own == calls, "thread {thread}");
        assert!(recorded[thread][calls.len()..].iter().all(|record| record.kind == FREE));
    }
    assert_in_order(run.records());
}

#[test]
fn a_forked_child_has_its_own_file() {
    let run = run("fork");
    assert!(run.status.success(), "{:?}", run.status);
    let [(parent, of_parent), (child, of_child)] = &run.files[..] else { panic!("{} files", run.files.len()) };
    assert_eq!(child.parent, parent.process);
    assert_eq!(*of_parent, run.log);
    assert_eq!(*of_child, run.child_log);
    assert_eq!((of_child[0].kind, of_child[0].old), (FREE, of_parent[0].new));
}

/// Another thread may hold the recorder's lock when a process forks.
#[test]
fn forks_among_calling_threads_end() {
    let run = run("storm");
    assert!(run.status.success(), "{:?}", run.status);
    assert_eq!(run.files.len(), 31);
    let parent = run.files[0].0.process;
    for (header, records) in &run.files[1..] {
        assert_eq!(header.parent, parent);
        assert_eq!(records.len(), 100);
        assert_in_order(records);
    }
}

#[test]
fn another_program_in_the_same_process_has_its_own_file() {
    let run = run("exec");
    assert!(run.status.success(), "{:?}", run.status);
    let [(first, before), (second, after)] = &run.files[..] else { panic!("{} files", run.files.len()) };
    assert_eq!(first.process, second.process);
    assert_eq!(before.iter().map(|record| record.kind).collect::<Vec<_>>(), [ALLOCATE, FREE]);
    assert_eq!(*after, run.log);
}

#[test]
fn without_a_usable_folder_the_program_runs_and_nothing_is_recorded() {
    for (folder, message) in [("traces", "absolute"), ("/nowhere/at/all", "cannot write"), ("", "absolute")] {
        let run = run_with("every", |_| folder.to_owned());
        assert!(run.status.success(), "{:?}", run.status);
        assert!(run.files.is_empty());
        assert!(run.stderr.contains(message), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
}
