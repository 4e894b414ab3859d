//! The shipped file of the lock, unchanged.
#![allow(dead_code, reason = "a model uses what it needs of it")]

use crate::ground::atomic;

#[path = "../../src/kernel/seat/word.rs"]
pub(crate) mod word;
