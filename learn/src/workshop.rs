//! Builds the program in which heaps run, and plays scripts on them there: whatever a heap does, it does to a process of its
//! own.

use crate::script::Script;
use std::env;
use std::fmt;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// How a process ends at a gap; `learn_heap` says the same.
const UNFINISHED: i32 = 3;
/// The process took too much time.
const SIGPROF: i32 = 27;

/// A file with a heap, or with what else the program can have.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the program calls it.
    pub name: String,
    /// `heap`, `resizing`, `stage5`, `slab` or `tests`.
    pub kind: &'static str,
    /// Where it is.
    pub file: PathBuf,
}

/// Where programs are built, and from what.
#[derive(Debug)]
pub struct Workshop {
    target: PathBuf,
    sources: Vec<Source>,
    built: OnceLock<Result<PathBuf, String>>,
}

/// A path in the package `learn`.
#[must_use]
pub fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

/// The folder of cargo's that this very program was built in.
#[must_use]
pub fn own_target() -> PathBuf {
    let here = env::current_exe().unwrap_or_default();
    let target = here.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map_or_else(|| path("../target"), Path::to_owned)
}

impl Workshop {
    /// Builds in `target`, when a program is first needed.
    #[must_use]
    pub fn new(target: PathBuf, sources: Vec<Source>) -> Self {
        Self { target, sources, built: OnceLock::new() }
    }

    /// The folder that is built in.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// What `HMALLOC_LEARN_HEAPS` is to say.
    #[must_use]
    pub fn heaps(&self) -> String {
        let all = self.sources.iter().map(|Source { name, kind, file }| format!("{name}={kind}={}", file.display()));
        all.collect::<Vec<_>>().join(";")
    }

    /// Cargo, as it builds the programs here: optimized, but not across packages, which would take longer than it gains.
    #[must_use]
    pub fn cargo(&self, target: &Path) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for setting in
            ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"]
        {
            cargo.env_remove(setting);
        }
        cargo.args(["build", "--release", "--quiet", "--config", "profile.release.lto=false"]);
        cargo.args(["--config", "profile.release.codegen-units=16", "--target-dir"]).arg(target);
        cargo.current_dir(path("..")).env("HMALLOC_LEARN_HEAPS", self.heaps());
        cargo
    }

    /// The program `candidate`.
    ///
    /// # Errors
    ///
    /// What the compiler says of a file that it does not take.
    pub fn program(&self) -> Result<&Path, String> {
        let build = || {
            let mut cargo = self.cargo(&self.target);
            let output = cargo.args(["--package", "hmalloc-learn-candidate"]).output();
            let output = output.map_err(|error| format!("cargo does not start: {error}"))?;
            if !output.status.success() {
                return Err(format!("it does not compile:\n{}", String::from_utf8_lossy(&output.stderr)));
            }
            Ok(self.target.join("release/candidate"))
        };
        self.built.get_or_init(build).as_deref().map_err(Clone::clone)
    }

    /// Runs the program with these arguments and this input.
    ///
    /// # Errors
    ///
    /// As [`program`](Self::program), and if it does not start.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<Output, String> {
        let mut command = Command::new(self.program()?);
        feed(command.args(arguments), input)
    }

    /// Plays `script` on the heap of this name.
    ///
    /// # Errors
    ///
    /// As [`program`](Self::program).
    pub fn play(&self, heap: &str, script: &Script, drawn: bool) -> Result<Played, String> {
        let output = self.run(&[heap, if drawn { "draw" } else { "play" }], &script.lines())?;
        Ok(Played::read(&output))
    }
}

/// Runs a command with some input, which it reads before it writes.
///
/// # Errors
///
/// If it does not start.
pub fn feed(command: &mut Command, input: &str) -> Result<Output, String> {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().map_err(|error| format!("{command:?} does not start: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who ends before it has read all has its reasons, which are looked at below.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().map_err(|error| error.to_string())
}

/// A block of a heap's own walk. Addresses are distances from where the break stood at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where the header begins.
    pub header: isize,
    /// Where the payload begins.
    pub payload: isize,
    /// Bytes of the payload.
    pub size: usize,
    /// Whether it is free.
    pub free: bool,
}

/// What was seen of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The payload, for calls that give one; `None` for null.
    pub payload: Option<isize>,
    /// Where the break stands afterwards.
    pub brk: isize,
    /// What the heap said of a wrong pointer.
    pub said: String,
    /// A resized block has not kept its bytes, or zero bytes are none.
    pub lost: bool,
    /// Live blocks whose bytes are not what was written there.
    pub damaged: Vec<usize>,
    /// The heap's own walk, where it was asked for.
    pub rows: Vec<Row>,
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All was played.
    Whole,
    /// A gap was reached: its place, and what it asks for.
    Gap(String),
    /// It was still at work after many seconds.
    Hung,
    /// A signal.
    Died(i32),
    /// Anything else, in its own words.
    Failed(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("all was played"),
            Self::Gap(what) => write!(f, "not written yet: {what}"),
            Self::Hung => f.write_str("it never came back from the call"),
            Self::Died(signal) => write!(f, "the process died of {}", signal_name(*signal)),
            Self::Failed(what) => f.write_str(what),
        }
    }
}

/// The usual name of a signal.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    match signal {
        4 => "SIGILL".into(),
        6 => "SIGABRT".into(),
        7 => "SIGBUS".into(),
        8 => "SIGFPE".into(),
        11 => "SIGSEGV".into(),
        other => format!("signal {other}"),
    }
}

/// A script that was played, as far as it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// Bytes of a header.
    pub header: usize,
    /// For each call that came back.
    pub steps: Vec<Seen>,
    /// How it ended.
    pub end: End,
}

/// How a process ended.
#[must_use]
pub fn end(output: &Output) -> End {
    let said = String::from_utf8_lossy(&output.stderr);
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => End::Whole,
        (Some(UNFINISHED), _) => End::Gap(said.trim().trim_start_matches("gap ").to_owned()),
        (_, Some(SIGPROF)) => End::Hung,
        (_, Some(signal)) if said.trim().is_empty() || signal != 6 => End::Died(signal),
        _ => End::Failed(said.trim().to_owned()),
    }
}

impl Played {
    fn read(output: &Output) -> Self {
        let mut played = Self { header: 0, steps: Vec::new(), end: end(output) };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match (&words[..], played.steps.last_mut()) {
                (["n", header], _) => played.header = header.parse().unwrap_or(0),
                (["=", answer, brk, more @ ..], _) => played.steps.push(Seen {
                    payload: answer.parse().ok(),
                    brk: brk.parse().unwrap_or(0),
                    lost: more.contains(&"lost"),
                    said: more.iter().filter(|word| **word != "lost").copied().collect::<Vec<_>>().join(" "),
                    ..Seen::default()
                }),
                (["x", block], Some(seen)) => seen.damaged.extend(block.parse::<usize>().ok()),
                (["b", header, payload, size, free], Some(seen)) => seen.rows.push(Row {
                    header: header.parse().unwrap_or(0),
                    payload: payload.parse().unwrap_or(0),
                    size: size.parse().unwrap_or(0),
                    free: *free == "1",
                }),
                _ => {}
            }
        }
        played
    }
}
