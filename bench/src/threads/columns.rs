//! What is done in each column.

use super::ring::Remote;
use super::rounds::{Rounds, Tables};
use super::sharing::Sharing;
use super::team::{Lives, Team, Work};
use crate::allocators::candidate::Entry;
use crate::base::random::Sizes::{LogUniform, Uniform};
use crate::options::Column;
use crate::workloads::workload::Round::{Batches, Churn, Exchange, Fifo, Pair};
use crate::workloads::workload::{Round, SMALL, Workload, load};
use Lives::{OnePass, Throughout};
use Tables::{HandedOn, Own};

static PAIR: Workload = load("pair2", 1, Uniform(16, 256), Pair, "each thread allocates 16..256 B, frees it");
static CHURN: Workload =
    small("churn2", 2_048, Churn(20_000), "each has 2,048 live of 8..1024 B, replaces random ones");
static LARSON: Workload =
    small("larson", 5_000, Churn(5_000), "the same with 5,000, which it hands to the next thread after as many");
static SHORT: Workload =
    small("short", 1_000, Fifo, "threads that allocate 1,000, free them and end, one after the other");
static SHORT_2: Workload = small("short2", 1_000, Fifo, "the same, all at a time");
static GENERATIONS: Workload =
    small("generations", 5_000, Churn(5_000), "as larson, by threads that end with each hand-over");
static HANDOVER: Workload =
    load("handover", 1_000, LogUniform(16, 16_000), Exchange, "1,000 of 16..16,000 B, all replaced by the next thread");
static SH6: Workload = small("sh6", 4_000, Batches { leave: false }, "batches of 4,000, half freed in reverse order");
static SH8: Workload = small("sh8", 4_000, Batches { leave: true }, "the same, that half by the next thread");

const fn small(name: &'static str, slots: usize, round: Round, note: &'static str) -> Workload {
    load(name, slots, SMALL, round, note)
}

/// What is done, in a line.
pub(crate) fn note(column: Column) -> &'static str {
    match column {
        Column::Remote => "one thread allocates 8..1024 B, the other frees, one by one through a ring",
        Column::Remote64 => "the same in batches of 64",
        Column::Sharing => "8 B given to all threads, which write to them, free them and allocate others",
        _ => rounds(column).0.note,
    }
}

/// The columns that are made of rounds: of what workload, on whose table, by which threads.
fn rounds(column: Column) -> (&'static Workload, Tables, Lives) {
    match column {
        Column::Pair2 => (&PAIR, Own, Throughout),
        Column::Churn2 => (&CHURN, Own, Throughout),
        Column::Larson => (&LARSON, HandedOn, Throughout),
        Column::Short => (&SHORT, Own, OnePass),
        Column::Short2 => (&SHORT_2, Own, OnePass),
        Column::Generations => (&GENERATIONS, HandedOn, OnePass),
        Column::Handover => (&HANDOVER, HandedOn, Throughout),
        Column::Sh6 => (&SH6, Own, Throughout),
        Column::Sh8 => (&SH8, HandedOn, Throughout),
        Column::Remote | Column::Remote64 | Column::Sharing => unreachable!("{column} is not made of rounds"),
    }
}

/// Who does it, on an entry that is prepared. In `short` there is one thread at a time.
pub(super) fn team(column: Column, entry: &'static Entry, threads: usize) -> Team {
    let throughout = |work: Box<dyn Work>| Team::new(entry, threads, Throughout, work);
    match column {
        Column::Remote => throughout(Box::new(Remote::new(entry, threads, SMALL, 1))),
        Column::Remote64 => throughout(Box::new(Remote::new(entry, threads, SMALL, 64))),
        Column::Sharing => throughout(Box::new(Sharing::new(entry, threads))),
        _ => {
            let threads = if column == Column::Short { 1 } else { threads };
            let (workload, tables, lives) = rounds(column);
            Team::new(entry, threads, lives, Box::new(Rounds::new(entry, threads, workload, tables)))
        }
    }
}
