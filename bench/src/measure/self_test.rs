//! Whether what the comparison stands on works here: every entry gives memory that can be used, and calls are counted.

use crate::allocators;
use crate::measure::callgrind;
use crate::measure::child;
use crate::measure::steps;
use crate::measure::syscalls;
use std::process::{Command, Stdio};

/// Two ways to count the instructions of a pair may differ by so much of it.
const TOLERANCE: f64 = 0.02;

/// One line for each part. Entries are tried in processes of their own, as they are when they are measured.
pub(crate) fn run() -> Result<(), String> {
    let mut failed = 0;
    for entry in &allocators::ALL {
        failed += report(entry.name, smoke(entry.name));
    }
    failed += report("system calls", counter());
    failed += report("instructions", instructions());
    if failed == 0 { Ok(()) } else { Err(format!("{failed} parts failed")) }
}

fn report(part: &str, result: Result<(), String>) -> usize {
    match result {
        Ok(()) => {
            println!("ok {part}");
            0
        }
        Err(message) => {
            println!("FAILED {part}: {message}");
            1
        }
    }
}

fn smoke(name: &str) -> Result<(), String> {
    let output = child::command(&["smoke", name, "pair", "0"])?.output().map_err(|error| error.to_string())?;
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{}: {}", output.status, message.trim_end())) }
}

fn counter() -> Result<(), String> {
    let mut command: Command = child::command(&["known"])?;
    let phases = syscalls::count(command.stdout(Stdio::null()))?;
    if phases[1..3] == syscalls::KNOWN { Ok(()) } else { Err(format!("counted {phases:?} of {:?}", syscalls::KNOWN)) }
}

/// Valgrind and single steps count the same.
fn instructions() -> Result<(), String> {
    callgrind::available()?;
    let folder = std::env::temp_dir();
    for name in ["empty", "system"] {
        let (counted, stepped) = (callgrind::per_pair(name, &folder)?, steps::per_pair(name)?);
        if !counted.is_normal() || (stepped / counted - 1.0).abs() > TOLERANCE {
            return Err(format!("{name}: valgrind counts {counted} a pair, single steps {stepped}"));
        }
    }
    Ok(())
}
