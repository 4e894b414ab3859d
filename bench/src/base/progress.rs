//! Says how far a run is: a bar on a terminal, a line for each part elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};

pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        let is_terminal = stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {prefix}: {msg}");
        bar.set_style(style.expect("the template is well-formed"));
        Self { bar }
    }

    pub(crate) fn part(&self, name: &str) {
        self.bar.set_prefix(name.to_owned());
        if !stderr().is_terminal() {
            eprintln!("{name} ({} of {} steps done)", self.bar.position(), self.bar.length().unwrap_or(0));
        }
    }

    pub(crate) fn step(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.inc(1);
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
