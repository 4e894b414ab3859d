//! What each thread did in the interleaving that runs, for the drawing.

use std::cell::{Cell, RefCell};

thread_local! {
    // The checker runs all threads of a program on one thread of the system.
    static STEPS: RefCell<Vec<(usize, String)>> = const { RefCell::new(Vec::new()) };
    static NEXT: Cell<u32> = const { Cell::new(0) };
}

/// Columns of a drawing: the owner, and up to two others.
const WIDTH: usize = 40;

/// Forgets all steps: another interleaving begins.
pub(crate) fn begin() {
    STEPS.take();
    NEXT.set(0);
}

/// Notes a step of a thread: 0 is the owner.
pub(crate) fn note(thread: usize, step: String) {
    STEPS.with_borrow_mut(|steps| steps.push((thread, step)));
}

/// The steps in order, a column for each thread.
pub(crate) fn drawn() -> String {
    let steps = STEPS.take();
    let threads = steps.iter().map(|(thread, _)| thread + 1).max().unwrap_or(1);
    let names = ["the owner", "another thread", "a third"];
    let mut text = format!(
        "    {}\n",
        names[..threads].iter().map(|name| format!("{name:<WIDTH$}")).collect::<String>().trim_end()
    );
    for (thread, step) in steps {
        let row = format!("    {:indent$}{step}", "", indent = thread * WIDTH);
        text += row.trim_end();
        text.push('\n');
    }
    text
}
