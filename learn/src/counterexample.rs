//! What a heap answered wrongly.

use crate::judge::{Fault, judge};
use crate::level::Level;
use crate::played::Played;
use crate::script::Script;
use crate::workshop::Workshop;

/// A script that went wrong, as short as it could be made.
#[derive(Debug, Clone)]
pub struct Counterexample {
    /// Up to the call that went wrong.
    pub script: Script,
    /// With the heap's own walk after each call.
    pub played: Played,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Plays a script that goes wrong once more, to draw it.
pub(crate) fn example(
    workshop: &Workshop,
    heap: &str,
    level: Level,
    mut script: Script,
) -> Result<Counterexample, String> {
    let played = workshop.play(heap, &script, false)?;
    let fault = judge(&script, &played, level).ok_or("a heap answers one script in two ways")?;
    script.calls.truncate(fault.step + 1);
    let drawn = workshop.play(heap, &script, true)?;
    Ok(Counterexample { script, played: drawn, fault })
}
