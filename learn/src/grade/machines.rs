//! The thirteen machines: on which of them a program survives that uses the first words of its blocks.

use crate::played::{End, end_of_script, signal_name};
use crate::workshop::{Workshop, feed, path};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use support::toolchain;

use super::figures::find;

/// Calls on slabs of two kinds: every slot, its inside, the tail, and frees that come twice. Numbers are wider or narrower on other
/// machines, and this shows it.
pub(super) const SLAB_SCRIPT: &str = "n 1000 112\na\na\na\na\na\na\na\na\na\nf 112\nf 112\nf 8\nf 896\nf 999\nf 1000\nf -16\nf 784\na\na\n\
    n 16384 48\na\na\na\nf 48\nf 49\nf 48\nf 16368\nf 16352\na\nf 96\nf 0\nf 0\n";

/// A machine, or what plays it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its architecture.
    pub name: String,
    target: String,
    emulator: String,
}

/// What became of a heap on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It works.
    Survived,
    /// It does not, and where.
    Died(String),
}

/// A machine's program, ready to run.
pub(super) struct Ready {
    pub(super) machine: Machine,
    program: PathBuf,
    emulator: Option<PathBuf>,
}

/// All of them, from `qemu/expected.txt`.
///
/// # Errors
///
/// If that cannot be read.
pub fn machines() -> Result<Vec<Machine>, String> {
    let file = path("../qemu/expected.txt");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        Some(Machine { name, target: words.nth(2)?.to_owned(), emulator: words.next()?.to_owned() })
    };
    Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect())
}

impl Machine {
    /// Builds the program for this machine, from what is here.
    ///
    /// # Errors
    ///
    /// What is missing, and how to install it.
    pub(super) fn ready(&self, workshop: &Workshop) -> Result<Ready, String> {
        if self.emulator == "native" && std::env::consts::ARCH == self.name {
            let program = workshop.program()?.to_owned();
            return Ok(Ready { machine: self.clone(), program, emulator: None });
        }
        let name = if self.emulator == "native" { "qemu-x86_64" } else { &self.emulator };
        let emulator = find(name).or_else(|| find(&format!("{name}-static")));
        let emulator =
            emulator.ok_or("its emulator is missing: QEMU's user mode (Debian: apt-get install qemu-user)")?;
        let way = toolchain::way_here(&self.target)
            .ok_or_else(|| format!("nothing here builds for that; {}", toolchain::ADVICE))?;
        let directory = workshop.target().join("machines");
        let mut command = toolchain::command(&self.target, way, &directory, "hmalloc-learn-candidate", &["candidate"]);
        // Nothing is timed there, and a dozen builds take their time.
        for package in ["hmalloc", "hmalloc-runtime"] {
            command.args(["--config", &format!("profile.release.package.{package}.opt-level=0")]);
        }
        let output =
            command.env("HMALLOC_LEARN_HEAPS", workshop.heaps()).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!(
                "it does not compile there:\n{}",
                first_error(&String::from_utf8_lossy(&output.stderr))
            ));
        }
        let program = toolchain::built(&self.target, way, &directory).join("candidate");
        Ok(Ready { machine: self.clone(), program, emulator: Some(emulator) })
    }
}

impl Ready {
    fn command(&self) -> Command {
        let Some(emulator) = &self.emulator else { return Command::new(&self.program) };
        let mut command = Command::new(emulator);
        command.arg(&self.program);
        command
    }

    /// Runs a heap there.
    pub(super) fn outcome(&self, heap: &str) -> Result<Outcome, String> {
        let output = self.command().args([heap, "words"]).stdin(Stdio::null()).output();
        Ok(judge(&output.map_err(|error| error.to_string())?))
    }

    /// How a slab answers [`SLAB_SCRIPT`] there.
    pub(super) fn slab(&self, heap: &str) -> Result<Vec<String>, String> {
        let output = feed(self.command().args([heap, "slab"]), SLAB_SCRIPT)?;
        match end_of_script(&output) {
            End::Whole => Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()),
            end => Err(end.to_string()),
        }
    }
}

/// The compiler's first error. What compiles on this machine fails on another for one reason, which is said many times.
fn first_error(said: &str) -> String {
    let lines: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("error")).collect();
    let end = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    lines[..end.min(12)].join("\n")
}

/// The last line says what was about to happen: the request, the payload, and the access.
fn judge(output: &Output) -> Outcome {
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default().to_owned();
    if output.status.success() && last == "survived" {
        return Outcome::Survived;
    }
    let how = output.status.signal().map_or("a wrong answer".into(), signal_name);
    let words: Vec<&str> = last.split_whitespace().collect();
    Outcome::Died(match words[..] {
        [size, payload, access] => {
            let (access, at) = (access.to_lowercase(), payload.parse::<usize>().unwrap_or(0));
            format!("{how} at the {access} of the first word of malloc({size}), at +{at} = 8 x {} + {}", at / 8, at % 8)
        }
        _ => format!("{how}: {last}"),
    })
}

/// Whether a slab answers there as it does on this machine.
pub(super) fn as_here(program: &Ready, workshop: &Workshop, heap: &str) -> Result<(), String> {
    let output = workshop.run_script(&[heap, "slab"], SLAB_SCRIPT)?;
    let here: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let there = program.slab(heap)?;
    let calls = SLAB_SCRIPT.lines().zip(here.iter().zip(&there));
    match calls.into_iter().find(|(_, (here, there))| here != there) {
        None => Ok(()),
        Some((call, (here, there))) => {
            Err(format!("`{call}` is answered with `{there}`, and with `{here}` on this machine"))
        }
    }
}

/// How a slab's answers on the machine of this name, from the program of `there`, differ from those of the program of `here` on this
/// one; nothing if they do not.
///
/// # Errors
///
/// What is missing to find out.
pub fn slab_difference(here: &Workshop, there: &Workshop, machine: &str, heap: &str) -> Result<Option<String>, String> {
    Ok(as_here(&named(machine)?.ready(there)?, here, heap).err())
}

fn named(machine: &str) -> Result<Machine, String> {
    machines()?.into_iter().find(|other| other.name == machine).ok_or("there is no such machine".into())
}

/// How a heap dies on the machine of this name; nothing if it survives.
///
/// # Errors
///
/// What is missing to find out.
pub fn death(workshop: &Workshop, machine: &str, heap: &str) -> Result<Option<String>, String> {
    Ok(match named(machine)?.ready(workshop)?.outcome(heap)? {
        Outcome::Survived => None,
        Outcome::Died(how) => Some(how),
    })
}
