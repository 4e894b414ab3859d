//! What happened, and what it amounts to.

use std::path::{Path, PathBuf};

/// What happened. Numbers of blocks and threads begin at 0 in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The process ends, and everything that is live with it.
    End,
    /// The calls that follow are this thread's.
    Thread(u32),
    Allocate {
        size: u64,
    },
    Zeroed {
        size: u64,
    },
    /// The alignment's logarithm.
    Aligned {
        size: u64,
        align: u8,
    },
    Resize {
        object: u32,
        size: u64,
    },
    Free {
        object: u32,
    },
}

impl Event {
    /// Names of the kinds, by their number in a file.
    pub(crate) const KINDS: [&str; 7] = ["end", "thread", "allocate", "zeroed", "aligned", "resize", "free"];

    pub(crate) fn kind(self) -> u8 {
        match self {
            Self::End => 0,
            Self::Thread(_) => 1,
            Self::Allocate { .. } => 2,
            Self::Zeroed { .. } => 3,
            Self::Aligned { .. } => 4,
            Self::Resize { .. } => 5,
            Self::Free { .. } => 6,
        }
    }

    pub(crate) fn is_call(self) -> bool {
        self.kind() >= 2
    }

    /// The bytes asked for.
    pub(crate) fn size(self) -> Option<u64> {
        match self {
            Self::Allocate { size }
            | Self::Zeroed { size }
            | Self::Aligned { size, .. }
            | Self::Resize { size, .. } => Some(size),
            _ => None,
        }
    }

    /// The block that is named.
    pub(crate) fn object(self) -> Option<u32> {
        match self {
            Self::Resize { object, .. } | Self::Free { object } => Some(object),
            _ => None,
        }
    }
}

/// What a trace amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) calls: u64,
    pub(crate) steps: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) peak_blocks: u32,
    pub(crate) threads: u32,
    pub(crate) processes: u32,
}

/// Where the shipped traces are.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/traces");

/// The file of the trace `name`.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name).with_extension("trace")
}
