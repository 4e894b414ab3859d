//! The wish: by how much more than it needs the heap tries to raise the break. A refusal makes it smaller.

use crate::ground::header::PAGE;
use crate::ground::limit::Limit;
use crate::kernel::parts::LIMITS;

/// The smallest step by which the break is raised if the kernel agrees, in pages.
const STEP_MIN: usize = (256 << 10) / PAGE;
/// A step is this fraction of the heap,
const STEP_FRACTION: usize = 16;
/// but no more than this,
const STEP_MAX: usize = (16 << 20) / PAGE;
/// or than this fraction of the heap if that is more, so that its break is raised at most 64 times for each doubling.
const STEP_LEAST_FRACTION: usize = 64;

/// By how much more than it needs the heap tries to raise the break.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Its limit, in pages: what was granted after a refusal, doubled by each raise since.
    most: Limit,
}

impl Wish {
    pub(crate) const fn new() -> Self {
        Self { most: Limit::NONE }
    }

    /// The step with which a raise begins if nothing was refused.
    pub(crate) fn usual(heap_pages: usize) -> usize {
        let most = STEP_MAX.max(heap_pages / STEP_LEAST_FRACTION);
        (heap_pages / STEP_FRACTION).clamp(STEP_MIN, most)
    }

    /// The step with which a raise begins.
    pub(crate) fn step(&self, heap_pages: usize) -> usize {
        // Without limits no refusal is remembered, and steps of a large heap are not cut short: that is less code.
        if LIMITS { Self::usual(heap_pages).min(self.most.get()) } else { STEP_MIN.max(heap_pages / STEP_FRACTION) }
    }

    /// The step with which a raise would begin, if it is shorter than usual because more was refused.
    pub(crate) fn shortened(&self, heap_pages: usize) -> Option<usize> {
        Some(self.most.get()).filter(|&most| most < Self::usual(heap_pages))
    }

    /// The step to try after one was refused, for a raise that needs `pages` pages: half of it, or 0 if the need is no
    /// less.
    pub(crate) fn shorter(step: usize, pages: usize) -> usize {
        Some(step / 2).filter(|&half| half > pages).unwrap_or(0)
    }

    /// Remembers the step with which a raise ended, and whether a longer one was refused before.
    pub(crate) fn note(&mut self, step: usize, refused: bool) {
        if !LIMITS {
            return;
        }
        self.most = Limit::new(if refused { step } else { self.most.get().max(1).saturating_mul(2) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_fraction_of_the_heap_between_bounds_that_grow_with_it() {
        let new = Wish::new();
        assert_eq!(new.step(0), STEP_MIN);
        assert_eq!(new.step(STEP_FRACTION * STEP_MIN * 3), STEP_MIN * 3);
        let large = STEP_FRACTION * STEP_MAX;
        assert_eq!((new.step(large), new.step(large * 4)), (STEP_MAX, STEP_MAX));
        assert_eq!(new.step(large * 64), large * 64 / STEP_LEAST_FRACTION);
        // However large it is, it doubles in so many raises.
        let (mut pages, mut raises) = (1 << 22, 0);
        while pages < 1 << 23 {
            (pages, raises) = (pages + new.step(pages), raises + 1);
        }
        assert!(raises <= STEP_LEAST_FRACTION, "{raises} raises");
    }

    #[test]
    fn a_refused_step_is_halved_and_what_was_granted_is_remembered() {
        let (pages, mut wish) = (STEP_FRACTION * STEP_MAX, Wish::new());
        let mut steps = std::vec![wish.step(pages)];
        while let Some(&step) = steps.last().filter(|&&step| step > 0) {
            steps.push(Wish::shorter(step, 100));
        }
        assert_eq!(steps, [1024, 512, 256, 128, 0]);
        wish.note(256, true);
        assert_eq!(wish.step(pages), 256);
        wish.note(256, false);
        assert_eq!(wish.step(pages), 512);
        (0..60).for_each(|_| wish.note(1, false));
        assert_eq!(wish.step(pages), STEP_MAX, "it is long again");
        wish.note(0, true);
        assert_eq!(wish.step(pages), 0);
        wish.note(0, false);
        assert_eq!(wish.step(pages), 2);
    }
}
