//! The learner's choice of an ordering, and the places where one stands.

use std::cell::Cell;
use std::sync::atomic::Ordering;

/// An ordering, or none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the learner chooses")]
pub(crate) enum Choice {
    Blank,
    Relaxed,
    Acquire,
    Release,
    AcqRel,
    SeqCst,
}

/// A place in the exercise.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    /// A load, or a swap that failed, which is one.
    loads: bool,
}

pub(crate) const SITES: [Site; 6] = [
    Site { name: "FREE_LOAD", loads: true },
    Site { name: "FREE_SWAP", loads: false },
    Site { name: "FREE_AGAIN", loads: true },
    Site { name: "TAKE_LOAD", loads: true },
    Site { name: "TAKE_SWAP", loads: false },
    Site { name: "TAKE_AGAIN", loads: true },
];

impl Site {
    /// Why a choice makes no sense here.
    pub(crate) fn refuses(&self, choice: Choice) -> Option<&'static str> {
        match choice {
            Choice::Blank => Some("it is still blank"),
            Choice::Release | Choice::AcqRel if self.loads => Some("it only loads, and releases nothing"),
            _ => None,
        }
    }
}

thread_local! {
    static WEAKENED: Cell<Option<(usize, Choice)>> = const { Cell::new(None) };
}

/// From now on this place has another ordering.
pub(crate) fn weaken(place: Option<(usize, Choice)>) {
    WEAKENED.set(place);
}

impl Choice {
    /// The ordering, for the place of this number.
    pub(crate) fn at(self, index: usize) -> Ordering {
        let choice = WEAKENED.get().filter(|(place, _)| *place == index).map_or(self, |(_, choice)| choice);
        match choice {
            Self::Acquire => Ordering::Acquire,
            Self::Release => Ordering::Release,
            Self::AcqRel => Ordering::AcqRel,
            Self::SeqCst => Ordering::SeqCst,
            Self::Relaxed | Self::Blank => Ordering::Relaxed,
        }
    }

    /// All that is weaker, in turn.
    pub(crate) fn weaker(self) -> Vec<Self> {
        match self {
            Self::SeqCst => vec![Self::Relaxed, Self::Acquire, Self::Release, Self::AcqRel],
            Self::AcqRel => vec![Self::Relaxed, Self::Acquire, Self::Release],
            Self::Acquire | Self::Release => vec![Self::Relaxed],
            Self::Blank | Self::Relaxed => Vec::new(),
        }
    }
}
