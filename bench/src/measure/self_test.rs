//! Whether what the comparison stands on works here: every entry gives memory that can be used, and calls are counted.

use super::{callgrind, steps, syscalls};
use crate::allocators;
use crate::base::child;
use anyhow::{Result, ensure};
use std::process::Stdio;

/// Two ways to count the instructions of a pair may differ by so much of it.
const TOLERANCE: f64 = 0.02;

/// One line for each part. Entries are tried in processes of their own, as they are when they are measured.
pub(crate) fn run() -> Result<()> {
    let entries = allocators::ALL.iter().map(|entry| (entry.name, smoke(entry.name)));
    let counts = [("system calls", counter()), ("instructions", instructions())];
    let mut failed = 0;
    for (part, result) in entries.chain(counts) {
        match result {
            Ok(()) => println!("ok {part}"),
            Err(message) => {
                println!("FAILED {part}: {message}");
                failed += 1;
            }
        }
    }
    ensure!(failed == 0, "{failed} parts failed");
    Ok(())
}

fn smoke(name: &str) -> Result<()> {
    let output = child::command(&["smoke", name, "pair", "0"]).output()?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", output.status, message.trim_end());
    Ok(())
}

fn counter() -> Result<()> {
    let phases = syscalls::count(child::command(&["known"]).stdout(Stdio::null()))?;
    ensure!(phases[1..3] == syscalls::KNOWN, "counted {phases:?} of {:?}", syscalls::KNOWN);
    Ok(())
}

/// Valgrind and single steps count the same.
fn instructions() -> Result<()> {
    callgrind::available()?;
    for name in ["empty", "system"] {
        let (counted, stepped) = (callgrind::per_pair(name, &std::env::temp_dir())?, steps::per_pair(name)?);
        let is_same = counted.is_normal() && (stepped / counted - 1.0).abs() <= TOLERANCE;
        ensure!(is_same, "{name}: valgrind counts {counted} a pair, single steps {stepped}");
    }
    Ok(())
}
