//! Places: where in the source an ordering or a fence stands. One of them, or several, can be weakened in a process.

use core::sync::atomic::Ordering::{self, Relaxed};
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::panic::Location;
use std::str::FromStr;
use std::sync::{LazyLock, Mutex};

/// The places that are weakened in this process, separated by commas.
pub(crate) const WEAKENED: &str = "HMALLOC_MODELS_WEAKENED";
/// If set, each place is printed when it is first reached.
pub(crate) const PRINTED: &str = "HMALLOC_MODELS_PRINTED";
/// How such a line begins.
pub(crate) const PLACE: &str = "place: ";

/// Written as `src/ground/freed.rs:75:35/1`: file, line and column of a call, and which of the call's orderings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) argument: usize,
}

/// An ordering, or a fence, at its place; or what it is to be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Strength {
    pub(crate) place: Place,
    /// `Acquire`, `fence`, `Relaxed`, `none`, ...
    pub(crate) word: String,
}

static WEAKER: LazyLock<Vec<Strength>> = LazyLock::new(|| {
    let text = std::env::var(WEAKENED).unwrap_or_default();
    text.split(',').filter(|text| !text.is_empty()).map(|text| text.parse().expect("a place and a word")).collect()
});
static PRINTS: LazyLock<bool> = LazyLock::new(|| std::env::var_os(PRINTED).is_some());
static SEEN: Mutex<BTreeSet<Strength>> = Mutex::new(BTreeSet::new());

/// The ordering to use for the caller's.
#[track_caller]
pub(crate) fn ordering(argument: usize, ordering: Ordering) -> Ordering {
    if ordering == Relaxed || (WEAKER.is_empty() && !*PRINTS) {
        return ordering;
    }
    match weaker(Location::caller(), argument, &format!("{ordering:?}")) {
        Some("Acquire") => Ordering::Acquire,
        Some("Release") => Ordering::Release,
        Some("Relaxed") => Relaxed,
        Some(word) => panic!("an ordering cannot be {word}"),
        None => ordering,
    }
}

/// Whether the caller's fence stands.
#[track_caller]
pub(crate) fn fence() -> bool {
    (WEAKER.is_empty() && !*PRINTS) || weaker(Location::caller(), 0, "fence").is_none()
}

fn weaker(location: &Location<'_>, argument: usize, word: &str) -> Option<&'static str> {
    let file = location.file();
    // The shipped files are reached through `..`; the others are the package's own.
    let file = file.rsplit_once("../").map_or_else(|| format!("models/{file}"), |(_, shipped)| shipped.to_owned());
    let place = Place { file, line: location.line(), column: location.column(), argument };
    let found = WEAKER.iter().find(|weaker| weaker.place == place);
    if *PRINTS {
        let strength = Strength { place, word: word.to_owned() };
        if SEEN.lock().unwrap().insert(strength.clone()) {
            println!("{PLACE}{strength}");
        }
    }
    found.map(|weaker| &*weaker.word)
}

impl Strength {
    /// All that is weaker, in turn.
    pub(crate) fn weakenings(&self) -> Vec<Self> {
        let words: &[&str] = match &*self.word {
            "fence" => &["none"],
            "AcqRel" => &["Acquire", "Release"],
            _ => &["Relaxed"],
        };
        words.iter().map(|&word| Self { place: self.place.clone(), word: word.to_owned() }).collect()
    }
}

impl Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place: Place { file, line, column, argument }, word } = self;
        write!(f, "{file}:{line}:{column}/{argument}={word}")
    }
}

impl FromStr for Strength {
    type Err = Box<dyn std::error::Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, word) = text.split_once('=').ok_or("no word")?;
        let (place, argument) = place.rsplit_once('/').ok_or("no argument")?;
        let mut parts = place.split(':');
        let mut part = || parts.next().ok_or("a part is missing");
        let (file, line, column) = (part()?.to_owned(), part()?.parse()?, part()?.parse()?);
        Ok(Self { place: Place { file, line, column, argument: argument.parse()? }, word: word.to_owned() })
    }
}
