//! Exercise 8: runs small programs of two and three threads with the learner's orderings, in all interleavings within a bound
//! on preemptions and with all stale values that a load may return. What loses is drawn.
//!
//! `models/` does the same with the shipped file, `src/ground/freed.rs`.

mod choice;
mod history;
mod programs;
mod word;

pub(crate) use choice::Choice;
pub(crate) use word::{NotLive, Word, freed_of, next_generation};

use choice::{SITES, weaken};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

include!(concat!(env!("OUT_DIR"), "/exercise.rs"));

/// The learner's choices, in the order of `SITES`.
const CHOICES: [Choice; 6] = [
    exercise::FREE_LOAD,
    exercise::FREE_SWAP,
    exercise::FREE_AGAIN,
    exercise::TAKE_LOAD,
    exercise::TAKE_SWAP,
    exercise::TAKE_AGAIN,
];

/// Names a choice that is replaced by `Relaxed`, so that one build shows what each of them is for.
const WEAKENED: &str = "HMALLOC_LEARN_WEAKENED";

/// No exploration takes a tenth of that.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many explorations have begun.
static EXPLORED: AtomicUsize = AtomicUsize::new(0);

/// Ends the process, with a line, when one exploration takes too long. (A loop over the word itself the checker finds out.)
fn limit_time() {
    thread::spawn(|| {
        let mut seen = EXPLORED.load(Ordering::Relaxed);
        loop {
            thread::sleep(PATIENCE);
            let now = EXPLORED.load(Ordering::Relaxed);
            if now == seen {
                println!("Wrong. `free` or `take` does not come back: it loops without an end");
                std::process::exit(1);
            }
            seen = now;
        }
    });
}

fn holds(program: &programs::Program) -> Result<(), programs::Lost> {
    EXPLORED.fetch_add(1, Ordering::Relaxed);
    programs::run(program)
}

fn main() -> ExitCode {
    limit_time();
    for (site, choice) in SITES.iter().zip(CHOICES) {
        if let Some(what) = site.refuses(choice) {
            println!("{} cannot be {choice:?}: {what}", site.name);
            return ExitCode::FAILURE;
        }
    }
    if let Ok(name) = std::env::var(WEAKENED) {
        let Some(index) = SITES.iter().position(|site| site.name == name) else {
            println!("there is no {name}");
            return ExitCode::FAILURE;
        };
        weaken(Some((index, Choice::Relaxed)));
    }
    // A violation is what is looked for: its message is printed with the history, and not by the panic.
    std::panic::set_hook(Box::new(|_| ()));
    for program in programs::ALL {
        if let Err(lost) = holds(program) {
            println!("Wrong. {}: {}\n\nThe interleaving that loses:\n", program.title, lost.what);
            print!("{}", lost.drawn);
            return ExitCode::FAILURE;
        }
    }
    println!("correct: {} programs hold in all interleavings within two preemptions", programs::ALL.len());
    let mut weak = true;
    for (index, (site, choice)) in SITES.iter().zip(CHOICES).enumerate() {
        for weaker in choice.weaker() {
            weaken(Some((index, weaker)));
            let all = programs::ALL.iter().all(|program| holds(program).is_ok());
            weaken(None);
            if all {
                println!("{} is stronger than it has to be: {weaker:?} holds, too", site.name);
                weak = false;
                break;
            }
        }
    }
    if weak {
        println!("and each ordering is as weak as can be");
    }
    ExitCode::SUCCESS
}
