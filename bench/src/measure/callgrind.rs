//! Instructions per pair, counted by valgrind: the same child for N and for 2N pairs, so that all but N pairs cancel.

use super::steps;
use crate::workloads::PAIR;
use crate::workloads::run::PAIRS;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

const MISSING: &str = "valgrind is needed to count instructions and was not found. Install it (Debian: apt-get install \
                       valgrind), or pass --no-callgrind to leave the count out.";

/// Whether instructions can be counted here, asked before any time is spent on measuring.
pub(super) fn available() -> Result<()> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(found.is_ok_and(|status| status.success()), MISSING);
    Ok(())
}

/// Instructions per pair, and whether single steps were counted because valgrind's child failed.
pub(super) type Counted = Result<(f64, bool)>;

/// Counts do not depend on what else is running, so two allocators are counted at a time.
pub(super) fn measure(allocators: &[&'static str], folder: &Path, mut keep: impl FnMut(&'static str, Counted)) {
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for half in allocators.chunks(allocators.len().div_ceil(2).max(1)) {
            let sender = sender.clone();
            scope.spawn(move || half.iter().try_for_each(|name| sender.send((*name, count(name, folder)))));
        }
        drop(sender);
        results.iter().for_each(|(name, counted)| keep(name, counted));
    });
}

fn count(allocator: &str, folder: &Path) -> Counted {
    per_pair(allocator, folder).map(|counted| (counted, false)).or_else(|reason| {
        let stepped = steps::per_pair(allocator).with_context(|| format!("{reason}; in single steps"))?;
        Ok((stepped, true))
    })
}

pub(super) fn per_pair(allocator: &str, folder: &Path) -> Result<f64> {
    let (one, two) = (instructions(allocator, 1, folder)?, instructions(allocator, 2, folder)?);
    let difference = two.checked_sub(one).context("twice the pairs took fewer instructions")?;
    Ok(difference as f64 / PAIRS as f64)
}

/// Instructions of a whole child that does `rounds` rounds.
fn instructions(allocator: &str, rounds: u64, folder: &Path) -> Result<u64> {
    let profile = folder.join(format!("callgrind.{}.{allocator}.{rounds}", std::process::id()));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe()?)
        .args(["--child", "rounds", allocator, PAIR, &rounds.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let text = std::fs::read_to_string(&profile).unwrap_or_default();
    let _ = std::fs::remove_file(&profile);
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("under valgrind: {}: {}", output.status, message.lines().last().unwrap_or_default());
    }
    total(&text).context("valgrind wrote no total")
}

/// The line of a profile that sums it up: `totals: 123`.
fn total(profile: &str) -> Option<u64> {
    profile.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_total_is_found() {
        assert_eq!(super::total("events: Ir\nfn=(1)\n12 3\n\ntotals: 10469182\n"), Some(10_469_182));
        assert_eq!(super::total("events: Ir\nsummary: 5\n"), None);
    }
}
