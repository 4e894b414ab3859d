//! Instructions per pair, counted by valgrind: the same child for N and for 2N pairs, so that all but N pairs cancel.

use crate::measure::record::{Keeper, Record};
use crate::measure::steps;
use crate::options::Options;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

/// The workload that is counted, and the pairs of one of its rounds.
pub(crate) const WORKLOAD: &str = "pair";
const PAIRS: u64 = crate::workloads::PAIRS as u64;

const MISSING: &str = "valgrind is needed to count instructions and was not found. Install it (Debian: apt-get install \
                       valgrind), or pass --no-callgrind to leave the count out.";

/// Whether instructions can be counted here, asked before any time is spent on measuring.
pub(crate) fn available() -> Result<(), String> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) { Ok(()) } else { Err(MISSING.to_owned()) }
}

/// Counts do not depend on who else is running, so two allocators are counted at a time.
pub(crate) fn measure(options: &Options, keeper: &mut Keeper, tick: impl Fn(&str)) {
    let (sender, results) = mpsc::channel();
    let half = options.allocators.len().div_ceil(2);
    std::thread::scope(|scope| {
        for allocators in options.allocators.chunks(half.max(1)) {
            let sender = sender.clone();
            scope.spawn(move || {
                for entry in allocators {
                    let counted = count(entry.name, &options.out);
                    sender.send((entry.name, counted)).expect("the receiver waits for every sender");
                }
            });
        }
        drop(sender);
        for (name, counted) in results {
            tick(name);
            keeper.keep(match counted {
                Ok((per_pair, stepped)) => Record::Instructions { allocator: name.to_owned(), per_pair, stepped },
                Err(reason) => Record::Failed {
                    what: "instructions".to_owned(),
                    workload: WORKLOAD.to_owned(),
                    allocator: name.to_owned(),
                    reason,
                },
            });
        }
    });
}

/// Instructions per pair, and whether single steps were counted because valgrind's child failed.
fn count(allocator: &str, folder: &Path) -> Result<(f64, bool), String> {
    per_pair(allocator, folder).map(|counted| (counted, false)).or_else(|reason| {
        let stepped = steps::per_pair(allocator).map_err(|second| format!("{reason}; in single steps: {second}"))?;
        Ok((stepped, true))
    })
}

pub(crate) fn per_pair(allocator: &str, folder: &Path) -> Result<f64, String> {
    let (one, two) = (instructions(allocator, 1, folder)?, instructions(allocator, 2, folder)?);
    let difference = two.checked_sub(one).ok_or("twice the pairs took fewer instructions")?;
    Ok(difference as f64 / PAIRS as f64)
}

/// Instructions of a whole child that does `rounds` rounds.
fn instructions(allocator: &str, rounds: u64, folder: &Path) -> Result<u64, String> {
    let profile = folder.join(format!("callgrind.{}.{allocator}.{rounds}", std::process::id()));
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args(["--child", "rounds", allocator, WORKLOAD, &rounds.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = std::fs::read_to_string(&profile).unwrap_or_default();
    let _ = std::fs::remove_file(&profile);
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(format!("under valgrind: {}: {}", output.status, message.lines().last().unwrap_or_default()));
    }
    total(&text).ok_or("valgrind wrote no total".to_owned())
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
