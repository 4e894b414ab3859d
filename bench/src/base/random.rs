//! Pseudo-random numbers and sizes: each allocator gets the same sequence.

/// Where a sequence begins.
pub(crate) const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Xorshift: a few cycles.
#[inline(always)]
pub(crate) fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A number below `bound` from the upper half of `random`; the lower bits stay free for another choice.
#[inline(always)]
pub(crate) fn below(random: u64, bound: usize) -> usize {
    (((random >> 32) * bound as u64) >> 32) as usize
}

/// Puts `items` into a random order.
pub(crate) fn shuffle<T>(items: &mut [T], random: &mut u64) {
    for index in (1..items.len()).rev() {
        items.swap(index, below(next(random), index + 1));
    }
}

/// Request sizes in bytes, both ends included.
#[derive(Clone, Copy)]
pub(crate) enum Sizes {
    Uniform(u32, u32),
    LogUniform(u32, u32),
    /// A few sizes, most requests of the first ones.
    Hot,
    /// 16..512 B, and two in a thousand of 1 MiB.
    WithLarge,
}

impl Sizes {
    pub(crate) fn pick(self, random: u64) -> u32 {
        match self {
            Sizes::Uniform(low, high) => low + below(random, (high - low + 1) as usize) as u32,
            Sizes::LogUniform(low, high) => {
                let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
                let (low, high) = (f64::from(low), f64::from(high));
                (low * (high / low).powf(unit)) as u32
            }
            Sizes::Hot => {
                const HOT: [u32; 16] = [24, 24, 24, 24, 32, 32, 32, 64, 64, 16, 40, 48, 96, 128, 200, 256];
                HOT[below(random, HOT.len())]
            }
            Sizes::WithLarge => Sizes::LogUniform(16, 512).pick(random),
        }
    }

    /// The next of a sequence.
    pub(crate) fn next(self, random: &mut u64) -> usize {
        self.pick(next(random)) as usize
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn shuffling_loses_nothing() {
        let mut numbers: Vec<usize> = (0..50).collect();
        super::shuffle(&mut numbers, &mut super::SEED.clone());
        assert_ne!(numbers, (0..50).collect::<Vec<_>>());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }
}
