//! Without `--quiet` it shows its heap.

use super::{assert_status, words};
use support::programs::{run, stdout};

/// The words come first, exactly as with `--quiet`; then the heap: statistics, map and slabs.
#[test]
fn shows_its_heap() {
    let text: String = (0..20_000).map(|number| format!("word{number} ")).collect();
    let quiet = run(words().args(["--quiet", "-"]), text.as_bytes());
    let output = run(words().arg("-"), text.as_bytes());
    assert_status(&output, 0);
    let shown = stdout(&output);
    let heap = shown.strip_prefix(&stdout(&quiet)).expect("the words come first").trim_start();
    assert!(heap.starts_with("the heap: "), "{heap}");
    let blocks = heap.lines().find(|line| line.trim_start().starts_with("used ")).expect("a line on used memory");
    let blocks: usize =
        blocks.split_whitespace().rev().nth(1).and_then(|count| count.parse().ok()).expect("its blocks");
    assert!(blocks >= 20_000, "every different word is a block: {blocks}");
    for promised in ["  free ", "  metadata ", "the map: ", "the break\n", "the slabs: "] {
        assert!(heap.contains(promised), "{promised:?} is not in\n{heap}");
    }
    let (_, map) = heap.split_once("the map: ").expect("checked above");
    let rows: Vec<&str> = map.lines().skip(1).take_while(|line| !line.contains("break")).collect();
    assert!(!rows.is_empty());
    let mut signs = String::new();
    for row in rows {
        let mut parts = row.split_whitespace();
        assert!(parts.next().is_some_and(|address| address.starts_with("0x")), "{row}");
        signs += parts.next().expect("signs");
        assert!(row.len() <= 100, "{row}");
    }
    assert!(signs.chars().all(|sign| "M.#x123456789".contains(sign)), "{signs}");
    assert!(signs.starts_with('M') && signs.contains('#'), "{signs}");
}
