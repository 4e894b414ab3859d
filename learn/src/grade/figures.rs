//! Utilisation and instructions on the traces.

use super::traces::Trace;
use crate::played::end;
use crate::workshop::Workshop;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a heap makes of a trace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figure {
    /// Per cent of the bytes taken from the kernel that were asked for, both at their highest.
    pub(super) utilisation: Option<usize>,
    /// Instructions of a call; nothing without valgrind.
    pub(super) instructions: Option<usize>,
}

/// Where a program is in the folders of `PATH`.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.exists())
}

/// The program and its arguments that replay a trace on a heap, or on the C library.
fn replay(workshop: &Workshop, heap: Option<&str>, none: bool) -> Result<(PathBuf, Vec<String>), String> {
    let none = none.then(|| "0".to_owned());
    match heap {
        Some(heap) => {
            let arguments = [heap.to_owned(), "trace".into()].into_iter().chain(none).collect();
            Ok((workshop.program()?.to_owned(), arguments))
        }
        None => Ok((system(workshop)?, none.into_iter().collect())),
    }
}

/// Builds the program with the C library's malloc.
pub(super) fn system(workshop: &Workshop) -> Result<PathBuf, String> {
    let output = workshop.cargo(workshop.target()).args(["--package", "hmalloc-learn-system"]).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(workshop.target().join("release/system"))
}

fn on(input: &Path, command: &mut Command) -> Result<Output, String> {
    let file = File::open(input).map_err(|error| error.to_string())?;
    command.stdin(file).output().map_err(|error| error.to_string())
}

/// Replays a trace on a heap. `Err` says why it could not.
pub(super) fn figure(workshop: &Workshop, heap: Option<&str>, name: &str, trace: &Trace) -> Result<Figure, String> {
    let input = workshop.target().join(format!("{name}-{}-{}.steps", heap.unwrap_or("system"), std::process::id()));
    fs::write(&input, &trace.bytes).map_err(|error| error.to_string())?;
    let result = measured(workshop, heap, trace, &input);
    let _ = fs::remove_file(&input);
    result
}

fn measured(workshop: &Workshop, heap: Option<&str>, trace: &Trace, input: &Path) -> Result<Figure, String> {
    let (program, arguments) = replay(workshop, heap, false)?;
    let output = on(input, Command::new(&program).args(&arguments))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(held) = text.trim().strip_prefix("held ").and_then(|held| held.parse::<usize>().ok()) else {
        return Err(end(&output).to_string());
    };
    let utilisation = (held > 0).then(|| trace.peak * 100 / held);
    let instructions = match find("valgrind") {
        Some(valgrind) => Some(counted(&valgrind, workshop, heap, trace, input)?),
        None => None,
    };
    Ok(Figure { utilisation, instructions })
}

/// Instructions of one call: those of the whole run less those of a run without steps.
fn counted(
    valgrind: &Path,
    workshop: &Workshop,
    heap: Option<&str>,
    trace: &Trace,
    input: &Path,
) -> Result<usize, String> {
    let mut counts = [0_usize; 2];
    for (count, none) in counts.iter_mut().zip([false, true]) {
        let (program, arguments) = replay(workshop, heap, none)?;
        let mut command = Command::new(valgrind);
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args(arguments);
        let output = on(input, &mut command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let collected = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
        *count = collected.ok_or_else(|| format!("valgrind counts nothing:\n{said}"))?;
    }
    Ok(counts[0].saturating_sub(counts[1]) / trace.steps.max(1))
}
