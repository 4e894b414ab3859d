//! Why a resize may fail.

use crate::central::spans::OutOfMemory;
use crate::door::misuse::Misuse;
use core::fmt;

/// Why a block could not be resized. The block is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResizeError {
    /// The pointer is not a live block's.
    Misuse(Misuse),
    /// There was no memory for the new size.
    OutOfMemory,
}

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::OutOfMemory => OutOfMemory.fmt(f),
        }
    }
}

impl core::error::Error for ResizeError {}

impl From<OutOfMemory> for ResizeError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<Misuse> for ResizeError {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}
