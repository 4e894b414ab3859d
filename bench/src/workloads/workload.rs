//! What a workload is.

use crate::base::random::Sizes;

/// What one workload is called, what it does and how it is run.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) note: &'static str,
    /// Live blocks it keeps track of at most.
    pub(super) slots: usize,
    pub(super) sizes: Sizes,
    pub(super) round: Round,
    /// Whether its footprint is compared. The others hold next to nothing.
    pub(crate) memory: bool,
    /// Gets fewer processes and more time.
    pub(crate) slow: bool,
    pub(crate) tier: Tier,
}

/// The smallest run that a workload is part of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Quick,
    Usual,
    All,
    /// Part of no run but one that names it.
    Named,
}

impl Tier {
    /// For the list.
    pub(crate) fn remark(self) -> &'static str {
        match self {
            Self::Quick => "",
            Self::Usual => " (not with --quick)",
            Self::All => " (with --all)",
            Self::Named => " (only when named)",
        }
    }
}

/// One round; a number is that of its steps.
#[derive(Clone, Copy)]
pub(crate) enum Round {
    Pair,
    Stack,
    Churn(usize),
    Fifo,
    Random,
    Double,
    Words,
    Zeroed(usize),
    Aligned(usize),
    Strings(usize),
    Queue(usize),
    Exchange,
    /// Whether half of a batch is left to the next round.
    Batches {
        leave: bool,
    },
    /// The shipped trace of this name.
    Trace(&'static str),
}

pub(crate) const SMALL: Sizes = Sizes::LogUniform(8, 1024);

pub(crate) const fn load(name: &'static str, slots: usize, sizes: Sizes, round: Round, note: &'static str) -> Workload {
    let slow = slots > 500_000;
    let memory = slots > 64 || matches!(round, Round::Double | Round::Trace(_));
    let tier = if slow { Tier::Usual } else { Tier::Quick };
    Workload { name, note, slots, sizes, round, memory, slow, tier }
}

/// A trace brings its own sizes and its own table.
pub(super) const fn trace(name: &'static str, file: &'static str, note: &'static str, tier: Tier) -> Workload {
    Workload { tier, ..load(name, 0, SMALL, Round::Trace(file), note) }
}

impl Workload {
    /// Rounds after which the footprint grows no more. A round of a trace ends with nothing live.
    pub(crate) fn footprint_rounds(&self) -> usize {
        if self.slow || matches!(self.round, Round::Trace(_)) { 2 } else { 4 }
    }
}
