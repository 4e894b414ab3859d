use super::*;

fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
    Options::try_parse_from([&["bench"], arguments].concat())
}

/// The workloads of a comparison with these arguments.
fn workloads(arguments: &[&str]) -> Vec<&'static str> {
    parse(arguments).expect("known options").workloads().iter().map(|load| load.name).collect()
}

#[test]
fn each_run_has_what_the_shorter_one_has() {
    let (quick, usual, all) = (workloads(&["--quick"]), workloads(&[]), workloads(&["--all"]));
    for (shorter, longer) in [(&quick, &usual), (&usual, &all)] {
        assert!(shorter.iter().all(|name| longer.contains(name)) && shorter.len() < longer.len());
    }
    assert_eq!(workloads(&["--quick", "--million"]).len(), quick.len() + 1);
}

#[test]
fn a_trace_of_ones_own_runs_when_it_is_named() {
    assert!(!workloads(&["--all"]).contains(&"trace-own"));
    assert_eq!(workloads(&["--workload", "trace-own"]), ["trace-own"]);
}

#[test]
fn threads_are_even_and_there_are_some_unless_they_are_counted() {
    let threads = |arguments: &[&str]| parse(arguments).map(|options| options.instead.threads());
    assert_eq!(threads(&[]).unwrap(), None);
    assert_eq!(threads(&["--threads", "4", "--quick"]).unwrap(), Some(4));
    let counted = threads(&["--threads", "--quick"]).unwrap().expect("a number");
    assert!(counted >= 2 && counted.is_multiple_of(2));
    assert!(["0", "3", "-2", "many"].iter().all(|count| threads(&["--threads", count]).is_err()));
    assert!(threads(&["--threads", "2", "--memory"]).is_err());
}

#[test]
fn columns_are_all_or_those_that_are_named() {
    assert_eq!(parse(&["--threads"]).unwrap().columns().len(), Column::value_variants().len());
    let named = ["--threads", "--column", "remote64,pair2"];
    assert_eq!(parse(&named).unwrap().columns(), [Column::Remote64, Column::Pair2]);
    for column in Column::value_variants() {
        assert_eq!(column.to_string().parse::<Column>(), Ok(*column));
        assert_eq!(column.to_possible_value().unwrap().get_name(), column.to_string());
    }
}

#[test]
fn memory_has_parts_and_a_rest() {
    assert_eq!(parse(&["--memory"]).unwrap().rest, Duration::from_secs(10));
    let arguments = ["--memory", "--part", "limit,bursts", "--rest", "0.25", "--allocator", "system", "--quick"];
    let options = parse(&arguments).unwrap();
    assert_eq!(options.part, [Part::Limit, Part::Bursts]);
    assert_eq!((options.rest, options.allocators(|_| true).len()), (Duration::from_millis(250), 1));
    for wrong in [["--part", "all"], ["--rest=-1", ""], ["--rest", "long"], ["--allocator", "none"]] {
        assert!(parse(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn programs_are_all_or_those_that_are_named_and_tcmalloc_is_only_there() {
    assert_eq!(parse(&["--programs"]).unwrap().programs().len(), Program::value_variants().len());
    let named = parse(&["--programs", "--program", "python-malloc,gcc", "--allocator", "tcmalloc,system"]).unwrap();
    assert_eq!(named.programs(), [Program::PythonMalloc, Program::Gcc]);
    assert!(named.check().is_ok() && named.is_preloaded("tcmalloc") && !named.is_preloaded("hmalloc"));
    assert!(parse(&["--allocator", "tcmalloc"]).unwrap().check().is_err());
    assert!(parse(&["--programs", "--program", "emacs"]).is_err());
}
