use super::*;
use crate::allocators;
use crate::options::Options;
use clap::Parser;

const MAX: u64 = 64 << 20;

#[test]
fn what_is_freed_is_live_and_points_are_as_large_as_they_say() {
    let mut sizes = vec![0_u64; slots(SPACE_MAX)];
    let mut last = 0;
    for step in walk(SPACE_MAX) {
        assert!(step.point >= last);
        assert_eq!(sizes[step.slot] > 0, step.kind == Kind::Free, "{step:?}");
        sizes[step.slot] = step.size as u64;
        last = step.point;
    }
    let bytes: u64 = sizes.iter().sum();
    assert_eq!(last, points(SPACE_MAX).count());
    assert!((0.95..1.05).contains(&(bytes as f64 / SPACE_MAX as f64)), "{bytes}");
}

#[test]
fn the_slowest_call_is_found_where_it_was_made() {
    let steps: Vec<Step> = walk(MAX).collect();
    assert_eq!(steps[0].point, 0);
    for position in (0..steps.len()).step_by(7) {
        let mut durations = vec![10; steps.len()];
        durations[position] = 500;
        let (found, refused) = slowest(&durations, MAX);
        assert_eq!((found[steps[position].point].unwrap()[steps[position].kind as usize], refused), (500, None));
        assert_eq!(found.iter().flatten().flatten().filter(|&&duration| duration == 500).count(), 1);
    }
}

#[test]
fn after_a_refusal_there_are_no_figures() {
    let calls = walk(MAX).count();
    let (found, refused) = slowest(&vec![10; calls - 5], MAX);
    assert!(found.last().unwrap().is_none() && found[found.len() - 2].is_some());
    assert!(refused.is_some_and(|bytes| bytes > MAX / 2), "{refused:?}");
    assert!(slowest(&[], MAX).0.iter().all(Option::is_none));
}

#[test]
fn the_table_has_a_row_for_each_point() {
    let options = Options::parse_from(["bench", "--memory"]);
    let parent = Parent::new(&options, allocators::ALL[..3].iter().collect(), 1);
    let column = |cell| vec![cell; points(MAX).count() + 1];
    let columns = [column(Some([1500, 2500, 500])), column(Some([1500, 0, 500])), column(None)];
    let text = text(&parent, MAX, &columns);
    for row in ["first call", "1 MiB", "4 MiB", "16 MiB", "64 MiB"] {
        let rows: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with(row)).collect();
        assert_eq!(rows.len(), 2, "{text}");
        assert!(rows[0].contains("1.50 / 2.50") && rows[0].contains("1.50 / -") && rows[1].contains("0.50"), "{text}");
    }
}
