//! Random texts, cut at places that are hard to get right.

use super::compare;
use proptest::prelude::*;

/// Fragments that are hard to cut: letters of one to four bytes, letters whose lower case has another length or depends
/// on its place, separators, and every kind of wrong bytes.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "a",
            "A",
            "the",
            "The",
            "ΟΔΟΣ",
            "ὈΔΥΣΣΕΎΣ",
            "Σ",
            "naïve",
            "İstanbul",
            "ß",
            "ẞ",
            "१२३",
            "Ⅷ",
            "½",
            "漢字",
            "𝒳",
            "𐐀",
            "ﬁ",
            "e\u{301}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::sample::select(vec![" ", "\n", "-", "'", "_", "\0", "\u{a0}", "—", "😀", "\u{feff}", "\u{10ffff}"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::sample::select(vec![
            &b"\xff"[..],
            b"\xc3",
            b"\xc0\x80",
            b"\xe2\x82",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x98",
            b"\xf0\x80\x80\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\x80",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// The program reads 64 KiB at a time; the hard fragments lie around the end of the first and second such piece.
    #[test]
    fn counts_like_the_oracle(
        filler in prop::sample::select(vec![b'x', b' ', b'\n', 0xff]),
        before in 0usize..3,
        shift in 0usize..16,
        fragments in prop::collection::vec(fragment(), 0..40),
        top in prop::sample::select(vec![0usize, 1, 3, 20, 1_000_000]),
    ) {
        let mut text = vec![filler; (before * 65536).saturating_sub(shift)];
        text.extend(fragments.concat());
        compare(&text, top);
    }
}
