//! Races: several threads do something to the same block at the same instant, again and again, and each time exactly what
//! had to be accused has been.
//!
//! `HMALLOC_TEST_RACES` is the number of rounds of each race.

mod field;
mod harness;

mod control;
mod inside;
mod late;
mod moves;
mod owner;
mod pairs;
