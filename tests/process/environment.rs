//! A Rust program that lets its environment decide.

use super::HEAP;
use hmalloc::{Hmalloc, Policy};
use std::alloc::{GlobalAlloc, Layout};
use support::child::{Ended, observe};

/// Frees a block twice, and ends as programs do.
fn twice() {
    // SAFETY: a mistake, which the heap notices.
    unsafe {
        let layout = Layout::new::<[u64; 100]>();
        let block = HEAP.alloc(layout);
        HEAP.dealloc(block, layout);
        HEAP.dealloc(block, layout);
    }
    println!("\nlived on");
    std::process::exit(7);
}

/// Runs a program that reads the environment, or does not, and makes a mistake.
fn run<T>(test: &T, read: bool, environment: &[(&str, &str)]) -> Ended {
    observe(test, if read { "read" } else { "" }, environment, |argument| {
        if argument == "read" {
            // SAFETY: no other thread changes the environment.
            let read = unsafe { HEAP.configure_from_environment() };
            println!("\n{read} {:?}", HEAP.policy());
        }
        twice();
    })
}

fn says(ended: &Ended, line: &str) -> bool {
    ended.stdout.lines().any(|said| said == line)
}

fn accusations(ended: &Ended) -> usize {
    ended.stderr.lines().filter(|line| line.starts_with("hmalloc: free: 0x") && line.contains("already free")).count()
}

fn summaries(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("hmalloc: process ") && line.ends_with("; sound")).count()
}

#[test]
fn nothing_happens_without_the_call() {
    let environment = [("HMALLOC_POLICY", "ignore"), ("HMALLOC_STATS", "1")];
    let ended = run(&nothing_happens_without_the_call, false, &environment);
    assert_eq!(
        (ended.signal, accusations(&ended), summaries(&ended.stderr)),
        (Some(libc::SIGABRT), 1, 0),
        "{ended:#?}"
    );
}

#[test]
fn the_environment_sets_the_policy() {
    let test = &the_environment_sets_the_policy;
    // The child knows its case by the environment that it got.
    for (word, policy, lines) in [("ignore", "Ignore", 0), ("report", "Report", 1)] {
        let ended = run(test, true, &[("HMALLOC_POLICY", word)]);
        let right = says(&ended, &format!("true {policy}")) && says(&ended, "lived on");
        assert!(right && accusations(&ended) == lines && summaries(&ended.stderr) == 0, "{ended:#?}");
    }
    for word in ["abort", "", "loud"] {
        let ended = run(test, true, &[("HMALLOC_POLICY", word)]);
        let warned = ended.stderr.contains("HMALLOC_POLICY is none of ignore, report, abort");
        assert!(ended.signal == Some(libc::SIGABRT) && accusations(&ended) == 1, "{word}: {ended:#?}");
        assert_eq!(warned, word == "loud", "{ended:#?}");
    }
}

#[test]
fn at_exit_the_heap_is_said_and_checked() {
    let test = &at_exit_the_heap_is_said_and_checked;
    let ended = run(test, true, &[("HMALLOC_POLICY", "report"), ("HMALLOC_STATS", "1"), ("HMALLOC_CHECK", "1")]);
    assert!(says(&ended, "lived on") && summaries(&ended.stderr) == 1, "{ended:#?}");
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let path = log.to_str().expect("a path");
    let ended = run(test, true, &[("HMALLOC_POLICY", "report"), ("HMALLOC_STATS", "1"), ("HMALLOC_LOG", path)]);
    let written = std::fs::read_to_string(&log).unwrap_or_default();
    assert!(says(&ended, "lived on") && summaries(&ended.stderr) == 0, "{ended:#?}");
    assert_eq!(summaries(&written), 1, "{written}");
}

#[test]
fn a_policy_can_be_changed_while_the_program_runs() {
    static OTHER: Hmalloc = Hmalloc::new();
    for policy in [Policy::Ignore, Policy::Report, Policy::Abort] {
        OTHER.set_policy(policy);
        assert_eq!(OTHER.policy(), policy);
    }
}
