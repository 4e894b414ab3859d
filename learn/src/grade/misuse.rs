//! The misuse score: six wrong frees. A point for each after which the heap is as it was.

use crate::played::End;
use crate::script::Script;
use crate::workshop::Workshop;

/// Each wrong free, after `a=malloc(40) b=malloc(40) c=malloc(40)` and with what else it needs. The last one is what is wrong.
pub(super) const MISUSES: [(&str, &str); 6] = [
    ("null", "free(null)"),
    ("twice", "free(b) free(b)"),
    ("into a block", "free(b+16)"),
    ("misaligned", "free(b+4)"),
    ("a header", "free(b-8)"),
    ("outside", "free(c+100000)"),
];

/// How many of them left the heap as it was: the break, the heap's own walk and the contents of all blocks, and two requests
/// more that get blocks of their own.
pub(super) fn score(workshop: &Workshop, heap: &str) -> Result<usize, String> {
    let mut points = 0;
    for (_, wrong) in MISUSES {
        let text = format!("a=malloc(40) b=malloc(40) c=malloc(40) {wrong} d=malloc(40) e=malloc(40) free(a) free(c)");
        let script = Script::parse(&text).map_err(|wrong| wrong.to_string())?;
        let calls = 2 + wrong.matches('(').count();
        let played = workshop.play(heap, &script, true)?;
        let steps = &played.steps;
        let (Some(before), Some(after)) = (steps.get(calls - 1), steps.get(calls)) else { continue };
        let same = before.brk == after.brk && before.rows == after.rows;
        let intact = steps.iter().all(|seen| seen.damaged.is_empty());
        let [d, e] = [calls + 1, calls + 2].map(|at| steps.get(at).and_then(|seen| seen.payload));
        points += usize::from(played.end == End::Whole && same && intact && d.is_some() && e.is_some() && d != e);
    }
    Ok(points)
}
