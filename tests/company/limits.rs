//! Limits and neighbours, on both C libraries.

use crate::build::{For, finishes, program, with};

fn limits(mode: &str) {
    for kind in [For::Glibc, For::MuslStatic] {
        finishes(&mut with(program("limits", kind), &[mode]));
    }
}

#[test]
fn of_address_space_set_by_the_program() {
    limits("space");
}

#[test]
fn of_data_set_by_the_program() {
    limits("data");
}

#[test]
fn of_address_space_set_before_the_program() {
    for kind in [For::Glibc, For::MuslStatic] {
        for kibibytes in ["49152", "98304", "1000000"] {
            let line = "ulimit -v $1 && exec \"$0\" started";
            let program = program("limits", kind).display().to_string();
            finishes(&mut with("sh", &["-c", line, &program, kibibytes]));
        }
    }
}

#[test]
fn addresses_are_taken_with_the_memory() {
    limits("modest");
}

#[test]
fn a_mapping_right_behind_the_break_leads_to_regions() {
    limits("neighbour");
}

#[test]
fn mappings_at_many_distances_are_left_alone() {
    limits("neighbours");
}

#[test]
fn freed_memory_goes_back_and_comes_again_as_zeros() {
    limits("returned");
}

#[test]
fn a_filter_that_kills_for_unusual_calls() {
    limits("filtered");
}
