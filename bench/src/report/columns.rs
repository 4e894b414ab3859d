//! The columns of a run, and the best peer of each.

use crate::allocators::candidate::Kind;
use crate::measure::data::{Data, Quantity};

/// The columns that are counted as "the eleven"; all others stand after them.
pub(super) const ELEVEN: [&str; 11] =
    ["pair", "stack64", "churn-10k", "churn-1m", "fifo", "rand", "vec2x", "vec1", "large", "trace-gcc", "trace-python"];

/// The workloads of a run: those of the eleven, and the others.
pub(super) fn groups(data: &Data) -> [Vec<&str>; 2] {
    let workloads = || data.run.workloads.iter().map(String::as_str);
    let eleven = ELEVEN.into_iter().filter(|column| workloads().any(|load| load == *column));
    [eleven.collect(), workloads().filter(|load| !ELEVEN.contains(load)).collect()]
}

/// The best peer of a column and its number.
pub(super) fn best_peer<'a>(data: &'a Data, column: &str, quantity: Quantity) -> Option<(&'a str, f64)> {
    let numbers = data.whose(Kind::Peer).filter_map(|name| Some((name, data.number(quantity, column, name)?)));
    numbers.min_by(|left, right| left.1.total_cmp(&right.1))
}

/// This allocator's number over the best peer's.
pub(super) fn ratio(data: &Data, column: &str, name: &str, quantity: Quantity) -> Option<f64> {
    let (_, best) = best_peer(data, column, quantity)?;
    Some(data.number(quantity, column, name)? / best)
}
