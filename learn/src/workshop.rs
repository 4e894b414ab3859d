//! Builds the program in which heaps run, and plays scripts on them there: whatever a heap does, it does to a process of its
//! own.

use crate::played::{End, Played, end};
use crate::script::Script;
use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

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

    /// The same for a script, of which one that does not come back in time is played once more: where a machine takes its processor
    /// away for a while, that may count as the program's time. What loops does so again.
    ///
    /// # Errors
    ///
    /// As [`program`](Self::program), and if it does not start.
    pub fn run_script(&self, arguments: &[&str], script: &str) -> Result<Output, String> {
        let output = self.run(arguments, script)?;
        if end(&output) == End::Hung { self.run(arguments, script) } else { Ok(output) }
    }

    /// Plays `script` on the heap of this name.
    ///
    /// # Errors
    ///
    /// As [`program`](Self::program).
    pub fn play(&self, heap: &str, script: &Script, drawn: bool) -> Result<Played, String> {
        let output = self.run_script(&[heap, if drawn { "draw" } else { "play" }], &script.lines())?;
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
