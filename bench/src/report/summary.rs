//! In how many columns this repository's heap is where it wants to be, and which columns are not.

use super::columns::{groups, ratio};
use crate::allocators::candidate::Kind;
use crate::base::stats::{Process, at_most};
use crate::measure::data::{Data, Quantity};

/// Ratios to the best peer are held against these.
const RATIOS: [f64; 2] = [1.0, 1.3];

/// Above this many live bytes a footprint is held against the first of [`FOOTPRINTS`] times the best peer's, below against
/// the second: in a small heap, what an allocator sets up once weighs more.
const MANY: u64 = 10_000_000;
const FOOTPRINTS: [f64; 2] = [1.15, 1.4];

/// A few lines for each of ours.
pub(super) fn lines(data: &Data, process: Process) -> Vec<String> {
    let other = process.other();
    let by_other = format!("time warm by the {} process", other.name());
    let times = [
        ("time warm", Quantity::Warm(process)),
        (&by_other, Quantity::Warm(other)),
        ("time cold", Quantity::Cold(process)),
    ];
    let of = |name| {
        let times = times.iter().map(move |(text, quantity)| time(data, name, text, *quantity));
        times.chain([footprints(data, name)]).flatten()
    };
    data.whose(Kind::Ours).flat_map(of).collect()
}

fn time(data: &Data, name: &str, text: &str, quantity: Quantity) -> Option<String> {
    let columns = Columns::of(data, name, quantity)?;
    let [best, near] = RATIOS.map(|bound| columns.met(|_| bound));
    let (missed, [low, high]) = (columns.missed(|_| RATIOS[1]), RATIOS);
    Some(format!("{name} to the best peer, {text}: at most {low:.1} in {best}, {high:.1} in {near}{missed}"))
}

fn footprints(data: &Data, name: &str) -> Option<String> {
    let bound = |column: &str| match data.memory(column, name).next() {
        Some(memory) if memory.peak_live > MANY => FOOTPRINTS[0],
        _ => FOOTPRINTS[1],
    };
    let columns = Columns::of(data, name, Quantity::Footprint)?;
    let (met, missed, [large, small]) = (columns.met(bound), columns.missed(bound), FOOTPRINTS);
    let many = MANY / 1_000_000;
    Some(format!(
        "{name} to the best peer, memory: at most {large} with over {many} MB live, {small} with less, in {met}{missed}"
    ))
}

/// Columns that have a ratio to the best peer, with it: first those of the eleven.
struct Columns<'a> {
    all: Vec<(&'a str, f64)>,
    eleven: usize,
}

impl<'a> Columns<'a> {
    fn of(data: &'a Data, name: &str, quantity: Quantity) -> Option<Self> {
        let ratios = |column: &'a str| Some((column, ratio(data, column, name, quantity)?));
        let [eleven, others] = groups(data).map(|columns| columns.into_iter().filter_map(ratios).collect::<Vec<_>>());
        let columns = Self { eleven: eleven.len(), all: [eleven, others].concat() };
        (!columns.all.is_empty()).then_some(columns)
    }

    /// How many are within their bounds: `9 of 11 (13 of all 17)`.
    fn met(&self, bound: impl Fn(&str) -> f64) -> String {
        let met =
            |columns: &[(&str, f64)]| columns.iter().filter(|(column, value)| at_most(*value, bound(column))).count();
        let (all, eleven) = (&self.all[..], &self.all[..self.eleven]);
        format!("{} of {} ({} of all {})", met(eleven), eleven.len(), met(all), all.len())
    }

    /// The columns that are not, with their numbers.
    fn missed(&self, bound: impl Fn(&str) -> f64) -> String {
        let above = self.all.iter().filter(|(column, value)| !at_most(*value, bound(column)));
        let names: Vec<String> = above.map(|(column, value)| format!("{column} {value:.2}")).collect();
        if names.is_empty() { ".".to_owned() } else { format!("; above: {}.", names.join(", ")) }
    }
}
