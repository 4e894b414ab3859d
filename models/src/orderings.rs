//! Weakens each ordering in the shipped files once, and removes each fence once: a model must fail.
//!
//! Places are found by running: the models reach them and say so. That they reach all is verified against the text of the
//! files. A place is weakened by its line and column in a process that runs one model, so everything is compiled once.

use crate::place::{self, Strength};
use crate::run::{PREEMPTIONS, VIOLATED};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// The files whose orderings count, and the models that are tried first. In those of this package they say what the product
/// needs where it does the same.
const FILES: &[(&str, &str, &str)] = &[
    ("src/ground/freed.rs", include_str!("../../src/ground/freed.rs"), "frees::"),
    ("src/ground/inbox.rs", include_str!("../../src/ground/inbox.rs"), "inboxes::"),
    ("src/ground/lease.rs", include_str!("../../src/ground/lease.rs"), "leases::"),
    ("src/ground/lookup.rs", include_str!("../../src/ground/lookup.rs"), "maps::"),
    ("src/ground/pointer.rs", include_str!("../../src/ground/pointer.rs"), "maps::"),
    ("src/kernel/seat/word.rs", include_str!("../../src/kernel/seat/word.rs"), "seats::"),
    ("models/src/heap.rs", include_str!("heap.rs"), "wakeups::"),
    ("models/src/leases.rs", include_str!("leases.rs"), "leases::"),
    ("models/src/owners.rs", include_str!("owners.rs"), "owners::"),
];

/// Orderings that are stronger than they need to be: a line of a shipped file, how often the ordering's word stands before
/// it in that line, and what is enough. All of them are weakened in every run below, so that the rest is what is needed. An
/// entry whose line is not there any more is an error.
const TOO_STRONG: &[(&str, usize, &str)] = &[];

/// So many preemptions are enough to find out all that is found out below, in a quarter of the time.
const ENOUGH: &str = "2";

/// What came of running a model.
#[derive(Debug)]
enum Outcome {
    Holds(Vec<String>),
    /// The promise, in its own words.
    Violated(String),
}

/// Runs one model in a process of its own.
fn run(model: &str, weakened: &[&Strength]) -> Outcome {
    let mut child = Command::new(std::env::current_exe().unwrap());
    if std::env::var_os(PREEMPTIONS).is_none() {
        child.env(PREEMPTIONS, ENOUGH);
    }
    outcome(model, weakened, &mut child)
}

/// What a model reaches. For that a thread need not be interrupted more than once.
fn run_and_print(model: &str) -> Outcome {
    let mut child = Command::new(std::env::current_exe().unwrap());
    outcome(model, &[], child.env(PREEMPTIONS, "1").env(place::PRINTED, "1"))
}

fn outcome(model: &str, weakened: &[&Strength], child: &mut Command) -> Outcome {
    let weakened = weakened.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let arguments = ["--exact", model, "--nocapture", "--test-threads=1"];
    let output = child.args(arguments).env(place::WEAKENED, &weakened).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        assert!(said.contains("1 passed"), "there is no model {model}: {said}");
        return Outcome::Holds(said.lines().map(str::to_owned).collect());
    }
    // A model that fails in any other way shows nothing.
    let violation = said
        .lines()
        .find(|line| line.contains(VIOLATED) || line.contains("Causality violation") || line.contains("deadlock"));
    let violation = violation.unwrap_or_else(|| panic!("{model} with {weakened} went wrong:\n{said}"));
    Outcome::Violated(violation.trim_start_matches(VIOLATED).trim().to_owned())
}

/// The models: all tests but those of this file and the controls.
fn models() -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let tests = said.lines().filter_map(|line| line.strip_suffix(": test"));
    tests
        .filter(|test| !["orderings::", "controls::"].iter().any(|rest| test.starts_with(rest)))
        .map(Into::into)
        .collect()
}

/// What the models reach of the files.
fn reached(models: &[String]) -> Vec<Strength> {
    let mut places = Vec::new();
    for model in models {
        match run_and_print(model) {
            Outcome::Holds(said) => {
                // A harness prints the test's name before what the test prints.
                let lines = said.iter().filter_map(|line| line.split_once(place::PLACE));
                places.extend(lines.map(|(_, place)| place.parse::<Strength>().unwrap()));
            }
            Outcome::Violated(promise) => panic!("{model} fails as it is: {promise}"),
        }
    }
    places.sort();
    places.dedup();
    places
}

/// The words in a line of code that stand for a place, in order.
fn words(line: &str) -> Vec<&'static str> {
    const WORDS: [&str; 6] = ["AcqRel", "Acquire", "Release", "compiler_fence", "fence_after_update", "membarrier"];
    let code = line.split("//").next().unwrap();
    if code.trim_start().starts_with("use ") || code.trim_start().starts_with("pub(crate) use ") {
        return Vec::new();
    }
    let parts = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    parts.filter_map(|part| WORDS.into_iter().find(|&word| word == part)).collect()
}

/// Verifies that the models reach each place that the files' text shows, and no other.
fn all_are_reached(places: &[Strength]) {
    let mut shown = BTreeMap::new();
    for (file, text, _) in FILES {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (line, text) in (1..).zip(code.lines()).filter(|(_, text)| !words(text).is_empty()) {
            shown.insert((*file, line), words(text).len());
        }
    }
    let mut reached = BTreeMap::new();
    for Strength { place, .. } in places {
        *reached.entry((&*place.file, place.line)).or_insert(0) += 1;
    }
    assert_eq!(shown, reached, "orderings of (file, line): on the left in the text, on the right where a model passes");
}

/// The file of a place: its text, and the models that are tried first.
fn file(strength: &Strength) -> (&'static str, &'static str) {
    let found = FILES.iter().find(|(file, ..)| *file == strength.place.file);
    found.map(|&(_, text, first)| (text, first)).expect("a file that counts")
}

/// The line of a place.
fn line(strength: &Strength) -> &'static str {
    file(strength).0.lines().nth(strength.place.line as usize - 1).unwrap().trim()
}

/// What [`TOO_STRONG`] makes of the places.
fn enough(places: &[Strength]) -> Vec<Strength> {
    let find = |&(text, before, word): &(&str, usize, &str)| {
        let at = places.iter().filter(|place| line(place) == text).nth(before);
        let place = at.unwrap_or_else(|| panic!("TOO_STRONG: `{text}` is not there any more")).place.clone();
        Strength { place, word: word.to_owned() }
    };
    TOO_STRONG.iter().map(find).collect()
}

/// The first model that fails if this is weakened, and the promise that is broken then.
fn first_to_fail(models: &[String], enough: &[Strength], weaker: &Strength) -> Option<(String, String)> {
    // A place that is weakened already is weakened further.
    let others = enough.iter().filter(|enough| enough.place != weaker.place);
    let weakened: Vec<_> = others.chain([weaker]).collect();
    let (first, rest): (Vec<_>, Vec<_>) = models.iter().partition(|model| model.starts_with(file(weaker).1));
    first.into_iter().chain(rest).find_map(|model| match run(model, &weakened) {
        Outcome::Holds(_) => None,
        Outcome::Violated(promise) => Some((model.clone(), promise)),
    })
}

/// Calls `work` for each item, in as many threads as there are processors.
fn for_each_in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((index, item)) = Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, items.get(i)?)))
                {
                    let result = work(item);
                    done.lock().unwrap().insert(index, result);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

/// All that can be weakened: everything that is reached, or what [`TOO_STRONG`] has made of it.
fn mutants(places: &[Strength], enough: &[Strength]) -> Vec<Strength> {
    let now = |place: &Strength| enough.iter().find(|enough| enough.place == place.place).unwrap_or(place).clone();
    places.iter().map(now).filter(|place| place.word != "Relaxed").flat_map(|place| place.weakenings()).collect()
}

#[test]
fn each_is_needed() {
    let models = models();
    let places = reached(&models);
    all_are_reached(&places);
    let enough = enough(&places);
    // With nothing weakened they run as the tests that they are.
    let weakened_anyway = if enough.is_empty() { &[] } else { &models[..] };
    for_each_in_parallel(weakened_anyway, |model| {
        if let Outcome::Violated(promise) = run(model, &enough.iter().collect::<Vec<_>>()) {
            panic!("{model} fails with what is said to be enough: {promise}");
        }
    });
    let mutants = mutants(&places, &enough);
    let found = for_each_in_parallel(&mutants, |mutant| first_to_fail(&models, &enough, mutant));
    let mut missed = 0;
    for (mutant, found) in mutants.iter().zip(&found) {
        let (model, promise) = found.clone().unwrap_or_else(|| {
            missed += 1;
            ("NO MODEL FAILS".into(), line(mutant).into())
        });
        println!("{:<42} {model:<40} {promise}", mutant.to_string());
    }
    println!("{} of {} weakened places are found out", mutants.len() - missed, mutants.len());
    assert_eq!(missed, 0, "orderings that are not needed, or not tested");
}
