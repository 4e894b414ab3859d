//! The workloads of the comparison. An operation is one call of allocate, free or resize.

mod replay;
mod rounds;
pub(crate) mod run;
pub(crate) mod workload;

use crate::base::random::Sizes::{Hot, LogUniform, Uniform, WithLarge};
use workload::Round::{Aligned, Churn, Double, Fifo, Pair, Queue, Random, Stack, Strings, Words, Zeroed};
use workload::{SMALL, Tier, Workload, load, trace};

/// The workload whose instructions are counted.
pub(crate) const PAIR: &str = "pair";

pub(crate) static ALL: [Workload; 22] = [
    load(PAIR, 1, Uniform(16, 256), Pair, "allocate 16..256 B, free it"),
    load("stack64", 64, SMALL, Stack, "64 allocations, freed last first"),
    load("churn-10k", 10_000, SMALL, Churn(100_000), "10,000 live, 8..1024 B log-uniform, a random one replaced"),
    load("churn-1m", 1_000_000, SMALL, Churn(1_000_000), "the same with 1,000,000 live"),
    load("fifo", 100_000, SMALL, Fifo, "100,000 allocations, freed first to last"),
    load("rand", 100_000, SMALL, Random, "100,000 allocations, freed in random order"),
    load("vec2x", 1, SMALL, Double, "a vector that doubles from 32 B to 512 KiB, filled as it grows"),
    load("vec1", 1, SMALL, Words, "a vector that grows by 8 B to 16 KiB, filled as it grows"),
    load("large", 200, LogUniform(4 << 10, 1 << 20), Churn(2_000), "200 live, 4 KiB..1 MiB, a random one replaced"),
    trace("trace-gcc", "gcc", "recorded: a compiler", Tier::Quick),
    trace("trace-python", "python", "recorded: an interpreter", Tier::Quick),
    trace("trace-sqlite", "sqlite", "recorded: a database in memory", Tier::Usual),
    trace("trace-redis", "redis", "recorded: a server of keys and values, with threads", Tier::All),
    trace("trace-shell", "shell", "recorded: all processes of a pipeline, one after the other", Tier::All),
    trace("trace-git", "git", "recorded: packing a repository with two threads", Tier::Usual),
    // Nothing is shipped for this one: to name it is to have put a trace there.
    trace("trace-own", "own", "what lies in traces/own.trace", Tier::Named),
    load("hot-sizes", 10_000, Hot, Churn(100_000), "10,000 live of 10 sizes, three of them hot, a random one replaced"),
    load("zeroed", 1_000, LogUniform(64, 16 << 10), Zeroed(20_000), "1,000 live, zeroed, a random one replaced"),
    load("aligned64", 10_000, LogUniform(64, 1024), Aligned(100_000), "10,000 live at multiples of 64, one replaced"),
    load("strings", 1_000, SMALL, Strings(50_000), "1,000 strings, a random one grows by half, from 16 B to 4 KiB"),
    load("queue", 1_000, SMALL, Queue(100_000), "1,000 live in a queue: the oldest is freed, one is allocated"),
    load("mixed", 1_000, WithLarge, Churn(100_000), "1,000 live, two in a thousand of 1 MiB, a random one replaced"),
];

pub(crate) fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}
