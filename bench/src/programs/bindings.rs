//! Which malloc a program has, by what the dynamic loader says of each process (`LD_DEBUG=bindings`).

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The functions that have to be the preloaded ones, where a process uses them.
const FUNCTIONS: [&str; 5] = ["malloc", "calloc", "realloc", "free", "malloc_usable_size"];
/// Every process uses these: the C library itself does.
const ALWAYS: usize = 1;

/// That all processes which wrote into `folder` have the functions of a library for which `is_it` holds.
pub(super) fn check(folder: &Path, is_it: impl Fn(&str) -> bool) -> Result<()> {
    let mut processes = 0;
    for entry in std::fs::read_dir(folder)? {
        let text = String::from_utf8_lossy(&std::fs::read(entry?.path())?).into_owned();
        check_process(&text, &is_it)?;
        processes += 1;
    }
    ensure!(processes > 0, "the loader said nothing: is this program static, or the C library another one?");
    Ok(())
}

/// A program that takes a function's address has an entry of its own for it, to which others are bound, and which is bound
/// in turn: that is good if the last one is the library's.
fn check_process(text: &str, is_it: impl Fn(&str) -> bool) -> Result<()> {
    let mut bound: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for (function, from, to) in text.lines().filter_map(binding) {
        bound.entry(function).or_default().insert((from, to));
    }
    for (index, function) in FUNCTIONS.iter().enumerate() {
        let pairs = bound.get(function);
        ensure!(pairs.is_some() || index >= ALWAYS, "no {function} is bound");
        for (from, to) in pairs.into_iter().flatten() {
            let is_bound_on =
                || pairs.is_some_and(|pairs| pairs.iter().any(|(other, last)| other == to && is_it(last)));
            ensure!(is_it(to) || is_bound_on(), "{function} of {from} is that of {to}: the preload has no effect");
        }
    }
    Ok(())
}

/// Function, who uses it, and whose it is.
fn binding(line: &str) -> Option<(&str, &str, &str)> {
    let (_, rest) = line.split_once("binding file ")?;
    let (from, rest) = rest.split_once(" [0] to ")?;
    let (to, rest) = rest.split_once(" [0]: ")?;
    let function = rest.split_once('`')?.1.split_once('\'')?.0;
    FUNCTIONS.contains(&function).then_some((function, from, to))
}

/// An empty folder of this name, and what makes the loader write into it.
pub(super) fn ask(folder: &Path) -> Result<[(String, String); 2]> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    let files = folder.join("process");
    let files = files.to_str().context("a folder whose name is text")?;
    Ok([("LD_DEBUG", "bindings"), ("LD_DEBUG_OUTPUT", files)].map(|(name, value)| (name.to_owned(), value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::check_process;

    fn is_good(bindings: &[(&str, &str, &str)]) -> bool {
        let line = |(function, from, to): &(&str, &str, &str)| {
            format!("  7:\tbinding file {from} [0] to {to} [0]: normal symbol `{function}' [GLIBC_2.2.5]\n")
        };
        let text: String = bindings.iter().map(line).collect();
        check_process(&text, |library| library == "/lib/heap.so").is_ok()
    }

    #[test]
    fn every_binding_leads_to_the_library() {
        let good =
            [("malloc", "libc.so.6", "/lib/heap.so"), ("puts", "cc1", "libc.so.6"), ("free", "cc1", "/lib/heap.so")];
        assert!(is_good(&good));
        assert!(!is_good(&[&good[..], &[("free", "cc1", "libc.so.6")]].concat()));
        assert!(!is_good(&[&good[..], &[("calloc", "cc1", "cc1")]].concat()));
    }

    #[test]
    fn an_entry_of_the_program_is_followed() {
        let by_entry = [("malloc", "libc.so.6", "cc1"), ("malloc", "cc1", "/lib/heap.so")];
        assert!(is_good(&by_entry) && !is_good(&by_entry[..1]));
    }

    #[test]
    fn a_process_without_malloc_is_refused() {
        assert!(!is_good(&[]) && !is_good(&[("free", "libc.so.6", "/lib/heap.so")]));
    }
}
