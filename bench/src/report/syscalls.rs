//! Which allocators ask the kernel for memory, how often, and which go on doing so.

use crate::base::table::Table;
use crate::measure::data::Data;
use crate::measure::record::Calls;

pub(super) fn print(data: &Data, markdown: bool) {
    let counted = |load: &&String| data.allocators().any(|name| data.calls(load, name).is_some());
    let workloads: Vec<&String> = data.run.workloads.iter().filter(counted).collect();
    if workloads.is_empty() {
        return;
    }
    let mut all = Table::new("system calls: of the first round + of each later one", &workloads, markdown);
    for name in data.allocators() {
        let cell = |load: &&String| match data.calls(load, name) {
            None => "-".to_owned(),
            Some(calls) => format!("{} + {}", calls.first.sum(), per_round(calls.warm.sum(), calls.warm_rounds)),
        };
        all.row(name, workloads.iter().map(cell));
    }
    print!("{all}");
    let kinds = Calls::default().kinds().map(|(kind, _)| kind);
    let mut later = Table::new("system calls of each later round, where there are any", kinds, markdown);
    for load in workloads {
        for name in data.allocators() {
            if let Some(calls) = data.calls(load, name).filter(|calls| calls.warm.sum() > 0) {
                let cells = calls.warm.kinds().map(|(_, count)| per_round(count, calls.warm_rounds));
                later.row(&format!("{name} on {load}"), cells);
            }
        }
    }
    print!("{later}");
}

/// Whole where it is whole.
fn per_round(count: u64, rounds: u64) -> String {
    match count % rounds {
        0 => (count / rounds).to_string(),
        _ => format!("{:.2}", count as f64 / rounds as f64),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_call_in_four_rounds_is_not_none() {
        assert_eq!([super::per_round(1, 4), super::per_round(8, 4), super::per_round(0, 4)], ["0.25", "2", "0"]);
    }
}
