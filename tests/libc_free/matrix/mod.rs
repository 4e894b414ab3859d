//! The QEMU matrix: what misaligned words do to a process on thirteen architectures, and that the heap works on all of
//! them.
//!
//! On each, the probe is asked: a control (a misaligned word without any heap), stage 1's misaligned payload, the
//! payloads of all other heaps, the production heap's self-check on the real break, its threads, without and with thread
//! pointers of their own, and how it reports and dies; and the main job has to count as it does on this machine.
//! `qemu/expected.txt` says what is known. Where it says that the control dies and it does not, nothing can be observed here,
//! and that is a failure, not a pass.

mod table;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};
use support::places::repository;
use support::programs::{program, run, stderr, stdout};
use support::toolchain;
use table::Row;

const ACCESSES: [&str; 3] = ["load", "store", "atomic"];

/// One architecture's programs and how they are run.
struct Machine {
    row: Row,
    emulator: Option<PathBuf>,
    probe: PathBuf,
    words: PathBuf,
}

impl Machine {
    fn named(architecture: &str) -> Self {
        let row = table::rows().into_iter().find(|row| row.architecture == architecture).expect("a row of the table");
        if row.emulator == "native" && env::consts::ARCH == architecture {
            let (probe, words) = (program("probe", false), program("words", false));
            return Self { row, emulator: None, probe, words };
        }
        let name = if row.emulator == "native" { "qemu-x86_64" } else { &row.emulator };
        let emulator = Some(toolchain::emulator(name));
        let directory = toolchain::build(&row.target, "hmalloc-qemu", &["probe", "words"]);
        Self { row, emulator, probe: directory.join("probe"), words: directory.join("words") }
    }

    fn command(&self, program: &Path) -> Command {
        match &self.emulator {
            None => Command::new(program),
            Some(emulator) => {
                let mut command = Command::new(emulator);
                command.arg(program);
                command
            }
        }
    }

    fn probe(&self, arguments: &[&str]) -> Output {
        run(self.command(&self.probe).args(arguments), b"")
    }

    /// Performs one misaligned access and says what became of it.
    fn outcome(&self, heap: &str, access: &str) -> &'static str {
        let output = self.probe(&[heap, access]);
        let complaint = || panic!("probe {heap} {access}: {}\n{}{}", output.status, stdout(&output), stderr(&output));
        if !stdout(&output).starts_with("a word ") {
            complaint();
        }
        match (output.status.code(), output.status.signal()) {
            (Some(0), _) => "fine",
            (_, Some(7)) => "SIGBUS",
            (_, Some(4)) => "SIGILL",
            _ => complaint(),
        }
    }

    fn misaligned(&self) {
        for (access, expected) in ACCESSES.iter().zip(&self.row.outcomes) {
            let control = self.outcome("control", access);
            println!("{}: a misaligned {access}: {control}", self.row.architecture);
            assert!(
                control == expected || control != "fine",
                "cannot observe here: on {} a misaligned {access} should end in {expected}, and without any heap it is fine. \
                 What runs the program hides it ({:?}).",
                self.row.architecture,
                self.emulator
            );
            assert_eq!(control, expected, "qemu/expected.txt is wrong on a misaligned {access} here");
            assert_eq!(self.outcome("stage1", access), control, "stage 1's payload on a misaligned {access}");
        }
    }

    /// Runs a mode of the probe that has to survive, and returns what it said.
    fn survives(&self, mode: &str) -> String {
        let output = self.probe(&[mode]);
        let said = stdout(&output);
        assert!(output.status.success(), "probe {mode}: {}\n{said}{}", output.status, stderr(&output));
        said.strip_suffix("survived\n").unwrap_or_else(|| panic!("probe {mode} did not end well:\n{said}")).to_owned()
    }

    fn aligned(&self) {
        let said = self.survives("aligned");
        let heaps: Vec<&str> = said.lines().filter_map(|line| line.split_once(':')).map(|(heap, _)| heap).collect();
        assert_eq!(heaps, ["stage 2", "stage 3", "stage 4", "stage 5", "the production heap"]);
    }

    fn self_check(&self) {
        let said = self.survives("selfcheck");
        let kept = said.lines().filter(|line| line.ends_with(": kept")).count();
        // QEMU's user mode takes a data limit and does nothing; a real kernel must be seen to refuse.
        let limit = said.contains("a data limit: kept");
        assert!(limit || (self.emulator.is_some() && said.contains("the data limit has no effect here\n")), "{said}");
        assert_eq!(kept, 10 + usize::from(limit), "{said}");
    }

    fn reports(&self) {
        assert_eq!(self.survives("report"), "");
        let output = self.probe(&["abort"]);
        assert_eq!(output.status.signal(), Some(6), "probe abort: {}\n{}", output.status, stderr(&output));
    }

    fn counts_words(&self) {
        let text = fs::read(repository("tests/libc_free/words/fragments.rs")).expect("a text");
        let arguments = ["--quiet", "--top", "1000000", "-"];
        let here = run(Command::new(program("words", false)).args(arguments), &text);
        let there = run(self.command(&self.words).args(arguments), &text);
        assert!(here.status.success() && there.status.success(), "{}{}", stderr(&here), stderr(&there));
        assert_eq!(stdout(&here), stdout(&there));
    }
}

fn examine(architecture: &str) {
    let machine = Machine::named(architecture);
    std::thread::scope(|scope| {
        // A line waits two seconds for a pipe that is full: the rest is done meanwhile.
        scope.spawn(|| machine.reports());
        machine.misaligned();
        machine.aligned();
        machine.self_check();
        assert!(machine.survives("threads").starts_with("4 threads"));
        assert!(machine.survives("storm").starts_with("4 threads with pointers of their own"));
        machine.counts_words();
    });
}

macro_rules! architectures {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                examine(stringify!($name));
            }
        )*

        /// Every row of the table has its test.
        #[test]
        fn the_table_is_tested() {
            let rows: Vec<String> = table::rows().into_iter().map(|row| row.architecture).collect();
            assert_eq!(rows, [$(stringify!($name)),*]);
        }
    };
}

architectures!(x86_64 i686 aarch64 armv7 arm riscv64 powerpc powerpc64le s390x loongarch64 mips mips64 mips64el);

/// README.md shows the table that the tests above compare with. `UPDATE=1` in the environment writes it there.
#[test]
fn the_readme_shows_the_table() {
    let path = repository("README.md");
    let mut readme = fs::read_to_string(&path).expect("README.md");
    let place = table::place(&readme)
        .expect("README.md has <!-- sigbus table --> and <!-- /sigbus table --> on lines of their own");
    if env::var_os("UPDATE").is_some() {
        readme.replace_range(place.clone(), &table::markdown());
        fs::write(&path, &readme).expect("README.md can be written");
    }
    let place = table::place(&readme).expect("the marks were just there");
    assert_eq!(readme[place], table::markdown(), "README.md's table is old: run this test with UPDATE=1");
}
