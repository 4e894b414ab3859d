//! Chance for sampling: intervals that are distributed exponentially, and how many blocks one sampled block stands for. `core`
//! has neither logarithm nor exponential; these are right to a millionth, which sampling does not see.

/// The natural logarithm of 2.
const LN_2: f64 = core::f64::consts::LN_2;

/// The step of SplitMix64: a sequence of numbers from `state`, each of which looks like chance (Steele, Lea and Flood, 2014).
pub(crate) fn next_random(state: u64) -> (u64, u64) {
    let next = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut bits = next;
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    (next, bits ^ bits >> 31)
}

/// The natural logarithm of a positive, normal number.
fn ln(number: f64) -> f64 {
    let bits = number.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    // ln m = 2 artanh s, whose series is short: s is at most a third.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series =
        1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square * (1.0 / 9.0 + square / 11.0))));
    2.0 * s * series + exponent as f64 * LN_2
}

/// `1 - e^-x` for an `x` that is not negative.
fn one_minus_exp(x: f64) -> f64 {
    if x > 40.0 {
        return 1.0;
    }
    // By the series for a small part of x, then 1 - (1-p)^2 = p (2 - p) as often as x was halved: no digits cancel.
    let mut halvings = 0;
    let mut part = x;
    while part > 0.0625 {
        (part, halvings) = (part / 2.0, halvings + 1);
    }
    let mut p = part * (1.0 - part * (0.5 - part * (1.0 / 6.0 - part * (1.0 / 24.0 - part / 120.0))));
    for _ in 0..halvings {
        p *= 2.0 - p;
    }
    p
}

/// How many bytes pass until the next sample, of a mean of `mean` bytes: exponentially distributed, so that each byte is as likely
/// as any other. 0 for a mean of 1: each block is a sample.
pub(crate) fn interval(mean: usize, random: u64) -> usize {
    if mean <= 1 {
        return 0;
    }
    // Above 0, at most 1.
    let uniform = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (-ln(uniform) * mean as f64) as usize
}

/// How many blocks a sampled block stands for, in 65536ths: the inverse of the chance that one of `bytes` bytes is sampled.
pub(crate) fn weight(mean: usize, bytes: usize) -> u64 {
    if mean <= 1 {
        return ONE;
    }
    let chance = one_minus_exp(bytes.max(1) as f64 / mean as f64);
    (ONE as f64 / chance) as u64
}

/// A weight of one block.
pub(crate) const ONE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_exponential_are_those_of_std() {
        for step in 1..2000_u32 {
            let x = f64::from(step) * f64::from(step) / 50_000.0;
            assert!((ln(x) - x.ln()).abs() < 1e-5, "ln {x}");
            let exact = -(-x).exp_m1();
            assert!((one_minus_exp(x) / exact - 1.0).abs() < 1e-6, "1 - e^-{x}");
        }
    }

    #[test]
    fn intervals_have_their_mean_and_their_spread() {
        let (mut state, mean, count) = (1, 512_usize << 10, if cfg!(miri) { 200 } else { 100_000 });
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..count {
            let (next, random) = next_random(state);
            state = next;
            let bytes = interval(mean, random) as f64 / mean as f64;
            sum += bytes;
            squares += bytes * bytes;
        }
        let (first, second) = (sum / f64::from(count), squares / f64::from(count));
        let far = if cfg!(miri) { 0.5 } else { 0.02 };
        assert!((first - 1.0).abs() < far && (second - 2.0).abs() < 5.0 * far, "{first} {second}");
        assert_eq!((interval(1, 5), interval(0, 5)), (0, 0));
    }

    #[test]
    fn a_weight_is_the_inverse_of_a_chance() {
        assert_eq!((weight(1, 16), weight(0, 1)), (ONE, ONE));
        let small = weight(512 << 10, 16) / ONE;
        assert!((32_760..=32_772).contains(&small), "{small}");
        assert_eq!(weight(512 << 10, 100 << 20), ONE);
        assert!(weight(usize::MAX, 0) > 0);
    }
}
