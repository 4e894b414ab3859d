use super::*;
use crate::report::ELEVEN;

/// The workloads of a comparison with these arguments.
fn workloads(arguments: &[&str]) -> Vec<&'static str> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    match parse(&arguments) {
        Ok(Task::Compare(options)) => options.workloads.iter().map(|load| load.name).collect(),
        _ => panic!("{arguments:?} is no comparison"),
    }
}

#[test]
fn each_run_has_what_the_shorter_one_has() {
    let (quick, usual, all) = (workloads(&["--quick"]), workloads(&[]), workloads(&["--all"]));
    for (shorter, longer) in [(&quick, &usual), (&usual, &all)] {
        assert!(shorter.iter().all(|name| longer.contains(name)) && shorter.len() < longer.len());
    }
    assert!(ELEVEN.iter().all(|name| usual.contains(name)), "{usual:?}");
    assert_eq!(workloads(&["--quick", "--million"]).len(), quick.len() + 1);
}

#[test]
fn a_trace_of_ones_own_runs_when_it_is_named() {
    assert!(!workloads(&["--all"]).contains(&"trace-own"));
    assert_eq!(workloads(&["--workload", "trace-own"]), ["trace-own"]);
}

/// What `--memory` is to do with these further arguments.
fn memory(arguments: &[&str]) -> Result<memory::Options, String> {
    let arguments: Vec<String> = ["--memory"].iter().chain(arguments).map(|&argument| argument.to_owned()).collect();
    match parse(&arguments)? {
        Task::Memory(options) => Ok(options),
        _ => panic!("{arguments:?} are for another command"),
    }
}

#[test]
fn memory_has_parts_and_a_rest() {
    let usual = memory(&[]).unwrap();
    assert_eq!((usual.parts.len(), usual.rest, usual.quick), (memory::Part::ALL.len(), Duration::from_secs(10), false));
    assert!(usual.allocators.iter().map(|entry| entry.name).eq(memory::ALLOCATORS));
    let short = memory(&["--part", "limit,bursts", "--rest", "0.25", "--allocator", "system", "--quick"]).unwrap();
    assert_eq!(short.parts, [&memory::Part::Bursts, &memory::Part::Limit]);
    assert_eq!((short.rest, short.allocators.len(), short.quick), (Duration::from_millis(250), 1, true));
    for wrong in [["--part", "all"], ["--rest", "-1"], ["--rest", "long"], ["--allocator", "none"]] {
        assert!(memory(&wrong).is_err(), "{wrong:?}");
    }
}
