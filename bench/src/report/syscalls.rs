//! Who asks the kernel for memory, how often, and who does so again and again.

use crate::base::table::section;
use crate::measure::record::{Calls, Data, Record};

pub(crate) fn print(data: &Data, markdown: bool) {
    let calls = |load: &str, name: &str| {
        data.records.iter().find_map(|record| match record {
            Record::Calls { workload, allocator, first, warm, warm_rounds }
                if workload == load && allocator == name =>
            {
                Some((*first, *warm, *warm_rounds))
            }
            _ => None,
        })
    };
    let counted = |load: &&String| data.allocators().iter().any(|name| calls(load, &name.name).is_some());
    let workloads: Vec<&String> = data.workloads().iter().filter(counted).collect();
    if workloads.is_empty() {
        return;
    }
    let row = |name: &String| {
        let cell = |load: &&String| match calls(load, name) {
            None => "-".to_owned(),
            Some((first, warm, rounds)) => format!("{} + {}", first.sum(), per_round(warm.sum(), rounds)),
        };
        [name.clone()].into_iter().chain(workloads.iter().map(cell)).collect::<Vec<_>>()
    };
    let header = [String::new()].into_iter().chain(workloads.iter().map(|&load| load.clone())).collect();
    print!(
        "{}",
        section(
            "system calls: of the first round + of each later one",
            header,
            data.allocators().iter().map(|name| row(&name.name)).collect(),
            markdown
        )
    );

    let mut rows = Vec::new();
    for load in &workloads {
        for name in data.allocators() {
            if let Some((_, warm, rounds)) = calls(load, &name.name).filter(|(_, warm, _)| warm.sum() > 0) {
                let cells = kinds(&warm).map(|count| per_round(count, rounds));
                rows.push([format!("{} on {load}", name.name)].into_iter().chain(cells).collect::<Vec<_>>());
            }
        }
    }
    let header = ["", "brk", "mmap", "munmap", "mremap", "madvise", "other"].map(str::to_owned).to_vec();
    print!("{}", section("system calls of each later round, where there are any", header, rows, markdown));
}

fn kinds(calls: &Calls) -> [u64; 6] {
    [calls.brk, calls.mmap, calls.munmap, calls.mremap, calls.madvise, calls.other]
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
