//! The right answers to the exercises, gap by gap, and wrong ones with what is wrong about them.

use learn::judge::Reason::{self, *};

/// What stands in a gap, by the word before the colon of its hint.
pub(crate) type Filling = (&'static str, &'static str);

/// One exercise: the right filling of all gaps.
pub(crate) struct Right {
    pub(crate) number: u8,
    /// The stage whose code this is.
    pub(crate) source: &'static str,
    pub(crate) gaps: &'static [Filling],
}

/// One gap filled wrongly; all others rightly.
pub(crate) struct Wrong {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) gap: Filling,
    /// Which of its faults is met first is chance.
    pub(crate) reasons: &'static [Reason],
}

const fn wrong(number: u8, name: &'static str, gap: Filling, reasons: &'static [Reason]) -> Wrong {
    Wrong { number, name, gap, reasons }
}

pub(crate) const RIGHT: &[Right] = &[
    Right {
        number: 1,
        source: "src/stages/s1_minimal.rs",
        gaps: &[
            (
                "fit",
                "self.walk().find(|&(_, block, free)| free && block >= size).map(|(header, block, _)| (header, block))",
            ),
            ("mark", "Header { size, free: false }"),
            ("payload", "header.add(1).cast()"),
            ("header", "payload.sub(HEADER)"),
            ("end", "begin.checked_add(HEADER)?.checked_add(size)?"),
        ],
    },
    Right {
        number: 2,
        source: "src/stages/s2_aligned.rs",
        gaps: &[
            ("size", "size.max(1).checked_next_multiple_of(ALIGN)"),
            ("begin", "self.end.checked_next_multiple_of(ALIGN)?"),
        ],
    },
    Right {
        number: 3,
        source: "src/stages/s3_linked.rs",
        gaps: &[
            ("find", "self.walk().find(|&(header, _, free)| !free && header.addr() + HEADER == payload.addr())"),
            ("lower", "self.brk.move_break(header.addr() + HEADER + size, header.addr()).is_ok()"),
            ("unlink", "null_mut()"),
            ("link", "header"),
        ],
    },
    Right {
        number: 4,
        source: "src/stages/s4_splitting.rs",
        gaps: &[
            ("trim", "!header.is_null() && (*header).free"),
            ("down", "previous"),
            ("rest", "rest >= HEADER + ALIGN"),
            ("remainder", "header.byte_add(HEADER + size)"),
            ("left", "rest - HEADER"),
            ("link", "self.link(remainder, (*header).next); self.link(header, remainder)"),
        ],
    },
    Right {
        number: 5,
        source: "src/stages/s5_coalescing.rs",
        gaps: &[
            (
                "below",
                "self.walk().find(|&(below, size, free)| free && below.wrapping_byte_add(HEADER + size) == header)",
            ),
            ("product", "count.saturating_mul(size)"),
            ("move", "moved.copy_from_nonoverlapping(payload, old); self.hfree(payload)"),
            ("neighbour", "(*header).next == header.byte_add(HEADER + (*header).size) && (*(*header).next).free"),
            ("join", "(*header).size += HEADER + (*(*header).next).size; (*header).next = (*(*header).next).next"),
        ],
    },
    Right {
        number: 6,
        source: "",
        gaps: &[
            ("exact", "((product as u32) < self.reciprocal).then_some((product >> 32) as usize)"),
            ("clear", "word * 64 + self.live[word].trailing_ones() as usize"),
            ("tail", "number >= self.capacity"),
            ("live", "self.live[number / 64] & (1 << (number % 64)) == 0"),
            ("flip", "self.live[number / 64] ^= 1 << (number % 64)"),
        ],
    },
];

/// Wrong answers to exercises 6 and 7, and what the grade says of them.
pub(crate) const OTHERS: &[(u8, &str, Filling, &str)] = &[
    (6, "inner_addresses", ("exact", "Some((product >> 32) as usize)"), "and NotASlot is right"),
    (6, "the_tail_is_a_slot", ("tail", "false"), "AlreadyFree, and NotASlot is right"),
    (6, "always_the_first", ("clear", "word * 64"), "is live"),
    (6, "a_bit_that_stays", ("flip", "()"), "answered with ok, and AlreadyFree is right"),
    (6, "it_ends_the_process", ("flip", "hmalloc_runtime::exit(0)"), "ended in the middle of the script"),
    (6, "twice_is_fine", ("live", "false"), "answered with ok, and AlreadyFree is right"),
    (
        7,
        "it_accuses",
        ("tests", "assert!(heap.malloc(0).is_null())"),
        "This test accuses a heap that is right: your first",
    ),
    (
        7,
        "it_asserts_nothing",
        ("tests", "{ let a = heap.malloc(8); heap.free(a) }"),
        "killed: 3 of 20, and 18 are wanted",
    ),
    (7, "it_ends_the_process", ("tests", "hmalloc_runtime::exit(0)"), "ended in the middle of it"),
    (7, "it_hangs", ("tests", "loop {}"), "it did not come back in time"),
    (7, "it_dies", ("tests", "unsafe { core::ptr::null_mut::<u8>().write_volatile(1) }"), "SIGSEGV"),
];

/// A right answer to exercise 1 that writes what it does, as its page says.
pub(crate) const WRITES: Filling =
    ("header", r#"{ hmalloc_runtime::say(format_args!("free {payload:p}\n")); payload.sub(HEADER) }"#);

pub(crate) const WRONG: &[Wrong] = &[
    wrong(1, "nothing_is_used_again", ("fit", "None"), &[NotReused]),
    wrong(
        1,
        "any_free_block_fits",
        ("fit", "self.walk().find(|&(_, _, free)| free).map(|(at, size, _)| (at, size))"),
        &[Outside],
    ),
    wrong(1, "the_header_is_the_payload", ("payload", "header.cast()"), &[Outside]),
    wrong(1, "the_header_has_no_room", ("end", "begin.checked_add(size)?"), &[Outside]),
    wrong(1, "a_sum_wraps", ("end", "begin.wrapping_add(HEADER).wrapping_add(size)"), &[Outside]),
    wrong(1, "the_mark_is_not_in_the_header", ("header", "payload"), &[NotReused]),
    wrong(1, "it_ends_the_process", ("payload", "hmalloc_runtime::exit(0)"), &[Died]),
    wrong(2, "it_panics", ("size", "panic!(\"no size\")"), &[Died]),
    wrong(2, "sizes_are_not_rounded", ("size", "Some(size)"), &[Misaligned]),
    wrong(2, "half_of_it", ("size", "size.max(1).checked_next_multiple_of(8)"), &[Misaligned]),
    wrong(2, "the_first_header_is_anywhere", ("begin", "self.end"), &[Misaligned]),
    wrong(2, "a_size_wraps", ("size", "Some(size.max(1).wrapping_add(ALIGN - 1) & !(ALIGN - 1))"), &[Outside]),
    wrong(
        3,
        "it_believes",
        (
            "find",
            "Some((payload.wrapping_sub(HEADER).cast::<Header>(), (*payload.wrapping_sub(HEADER).cast::<Header>()).size, false))",
        ),
        &[Died, BreakMoved],
    ),
    wrong(
        3,
        "an_inner_address_will_do",
        (
            "find",
            "self.walk().find(|&(header, size, free)| !free && payload.addr().wrapping_sub(header.addr() + HEADER) < size)",
        ),
        &[BreakMoved],
    ),
    wrong(
        3,
        "a_free_block_is_freed_again",
        ("find", "self.walk().find(|&(header, ..)| header.addr() + HEADER == payload.addr())"),
        &[BreakMoved],
    ),
    wrong(3, "the_break_never_comes_down", ("lower", "false"), &[NotLowered]),
    wrong(
        3,
        "whatever_is_on_top",
        ("lower", "self.brk.move_break(self.brk.query().unwrap_or(0), header.addr()).is_ok()"),
        &[Outside],
    ),
    wrong(3, "the_list_leads_above_the_break", ("unlink", "header"), &[Outside, Hung]),
    wrong(4, "nothing_is_split", ("rest", "false"), &[NotReused]),
    wrong(4, "a_rest_too_small", ("rest", "rest > 0"), &[Overlap, Outside]),
    wrong(4, "its_header_is_forgotten", ("left", "rest"), &[NotLowered, Outside, Overlap]),
    wrong(4, "down_over_live_blocks", ("trim", "!header.is_null()"), &[Outside]),
    wrong(4, "one_block_at_a_time", ("down", "null_mut()"), &[NotLowered]),
    wrong(4, "the_list_ends_at_the_rest", ("link", "self.link(header, remainder)"), &[NotLowered, NotReused]),
    wrong(5, "nothing_below_is_joined", ("below", "None"), &[NotLowered, NotReused]),
    wrong(5, "a_product_wraps", ("product", "count.wrapping_mul(size)"), &[Outside]),
    wrong(5, "the_bytes_stay_behind", ("move", "self.hfree(payload)"), &[Lost]),
    wrong(5, "the_old_block_stays", ("move", "moved.copy_from_nonoverlapping(payload, old)"), &[NotReused]),
    wrong(
        5,
        "a_header_is_lost",
        ("join", "(*header).size += (*(*header).next).size; (*header).next = (*(*header).next).next"),
        &[NotLowered, NotReused],
    ),
    wrong(
        5,
        "over_what_others_have",
        ("neighbour", "!(*header).next.is_null() && (*(*header).next).free"),
        &[Overlap, NotReused, NotLowered],
    ),
];
