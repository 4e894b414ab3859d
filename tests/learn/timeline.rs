//! A script that was played becomes a page: the heap after each call, as it was seen.

use crate::solved::workshop;
use hmalloc_timeline::page::MOST_BYTES;
use hmalloc_timeline::timeline::{Cell, PinKind, Timeline};
use learn::played::Played;
use learn::script::Script;
use learn::sim::sim;
use learn::timeline::timeline;
use std::fs;
use tempfile::TempDir;

fn seen(heap: &str, script: &str) -> (Played, Timeline) {
    let script = Script::parse(script).expect("a script");
    let played = workshop().play(heap, &script, true).expect("it builds");
    let timeline = timeline(heap, &script, &played);
    (played, timeline)
}

/// Each byte up to the break is in one state, and as much is free as the heap's own walk says.
#[test]
fn frames_agree_with_what_was_seen() {
    let script = "a=malloc(21) b=malloc(200) c=malloc(40) free(b) d=malloc(24) free(a) other(64) e=malloc(9) refuse(raise) f=malloc(900000)";
    for heap in ["s1", "s2", "s3", "s4", "s5", "xv6", "r3", "heap"] {
        let (played, timeline) = seen(heap, script);
        assert_eq!(timeline.frames.len(), 10, "{heap}: {played:?}");
        for (seen, frame) in played.steps.iter().zip(&timeline.frames) {
            let free: usize = seen.rows.iter().filter(|row| row.free).map(|row| row.size).sum();
            let drawn: u64 = frame.stretches.iter().map(|&(_, bytes)| bytes).sum();
            let others = frame.stretches.iter().filter(|(cell, _)| *cell == Cell::Foreign).map(|&(_, bytes)| bytes);
            let (all, others) = (frame.heap(), others.sum::<u64>());
            assert_eq!((frame.free_dirty, drawn), (free as u64, all + others), "{heap}: {frame:?}");
            // What is on top of all blocks may be another user's.
            let brk = seen.brk as u64;
            assert!(drawn == brk || drawn + 64 == brk || heap == "heap", "{heap}: {brk}, {frame:?}");
            assert!(frame.requested <= frame.live_large, "{heap}: {frame:?}");
        }
        // Some stages cannot go on where another user has moved the break: what they refuse is no block.
        let asked = [(0, 21), (1, 200), (2, 40), (4, 24), (7, 9), (9, 900_000)];
        let given = asked.iter().filter(|(call, _)| played.steps[*call].payload.is_some()).map(|&(_, bytes)| bytes);
        let (blocks, bytes) = given.fold((0, 0), |(blocks, sum), bytes| (blocks + 1, sum + bytes));
        let totals = timeline.totals;
        assert_eq!(
            (totals.calls, totals.blocks, totals.bytes, totals.refused),
            (10, blocks, bytes, 6 - blocks),
            "{heap}"
        );
        assert_eq!((totals.peak_bytes, totals.left_bytes), (261, bytes - 221), "{heap}");
        assert!(blocks == 5 || !["s4", "s5", "heap"].contains(&heap), "{heap}");
        assert!(timeline.misuses.is_empty(), "{heap}");
    }
}

/// By hand: stage 4 has headers of 32 bytes, and splits.
#[test]
fn frames_of_stage_4_are_as_counted_by_hand() {
    let (_, timeline) = seen("s4", "a=malloc(24) b=malloc(100) free(a) other(64) c=malloc(100) free(c)");
    let [_, two, freed, _, beyond, last] = &timeline.frames[..] else { panic!("{timeline:?}") };
    let (meta, block, free) =
        (|bytes| (Cell::Metadata, bytes), |bytes| (Cell::Block, bytes), |bytes| (Cell::Free, bytes));
    assert_eq!(two.stretches, [meta(32), block(32), meta(32), block(112)]);
    assert_eq!(freed.stretches, [meta(32), free(32), meta(32), block(112)]);
    assert_eq!((freed.runs[0].offset, freed.runs[0].bytes, freed.runs[0].below), (32, 32, None));
    assert!(freed.runs[0].above.is_some_and(|pin| (pin.kind, pin.offset, pin.bytes) == (PinKind::Block, 96, 112)));
    // The others' 64 bytes are no move of the heap's, and lie between its blocks.
    assert_eq!(beyond.stretches[4..], [(Cell::Foreign, 64), meta(32), block(112)]);
    assert_eq!(timeline.frames.iter().map(|frame| frame.raised).collect::<Vec<_>>(), [64, 144, 0, 0, 144, 0]);
    assert_eq!((last.lowered, last.end.map(|(above, pin)| (above, pin.kind))), (144, Some((0, PinKind::Block))));
}

#[test]
fn wrong_frees_are_events() {
    let texts = |heap, script| {
        let (_, timeline) = seen(heap, script);
        assert_eq!(timeline.totals.misuses as usize, timeline.misuses.len());
        timeline.misuses.into_iter().map(|one| (one.call, one.text)).collect::<Vec<_>>()
    };
    let on_stage_1 = texts("s1", "a=malloc(40) free(a+20)");
    assert_eq!(on_stage_1, [(2, "free(a+20): the heap said nothing; bytes of a were written".to_owned())]);
    assert_eq!(texts("s1", "a=malloc(40) free(a) free(a)"), [(3, "free(a): the heap said nothing".to_owned())]);
    let of_heap = texts("heap", "a=malloc(40) free(a+20) free(a) free(a) free(null)");
    assert_eq!(of_heap, [(2, "free(a+20): Misaligned".to_owned()), (4, "free(a): AlreadyFree".to_owned())]);
}

/// A header that a wrong free has written over says anything, and the page still opens; an exercise with gaps says so.
#[test]
fn what_is_damaged_or_missing_has_a_page() {
    let (played, timeline) = seen("s1", "a=malloc(24) b=malloc(8) free(b-4) c=malloc(1)");
    for (seen, frame) in played.steps.iter().zip(&timeline.frames) {
        let drawn: u64 = frame.stretches.iter().map(|&(_, bytes)| bytes).sum();
        assert!(drawn <= seen.brk as u64, "{frame:?}");
    }
    let (_, timeline) = seen("e1", "a=malloc(24)");
    assert!(
        timeline.frames.is_empty() && timeline.misuses[0].text.starts_with("a=malloc(24): not written yet"),
        "{timeline:?}"
    );
}

#[test]
fn the_simulator_writes_one_page_for_all_its_heaps() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("out.html");
    let path = path.to_str().expect("a path in text");
    let mut output = Vec::new();
    let mut made = |path: &str| {
        output.clear();
        let words = ["--stage", "3", "--stage", "5", "--brief", "--timeline", path, "a=malloc(24) free(a)"];
        let status = sim(&workshop(), &words, &mut output).expect("a vector can be written");
        (status, String::from_utf8(output.clone()).expect("text"))
    };
    let (status, said) = made(path);
    assert!(status == 0 && said.ends_with(&format!("is in {path}: open it in a browser\n")), "{said}");
    assert!(said.contains("stage 3, linked. ") && said.contains("stage 5, coalescing. "), "{said}");
    let page = fs::read_to_string(path).expect("a page");
    assert!(page.len() < MOST_BYTES && page.starts_with("<!DOCTYPE html>"));
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("no {words}"));
    assert!(at("\"heap\":\"stage 3, linked\"") < at("\"heap\":\"stage 5, coalescing\""));
    assert_eq!(page.matches("\"title\":\"a=malloc(24) free(a)\"").count(), 2);
    // A long script is not all of it the title.
    let long: Vec<String> = (1..200).map(|size| format!("a{size}=malloc({size})")).collect();
    let title = seen("s5", &long.join(" ")).1.title;
    assert!(title.len() < 170 && title.starts_with("a1=malloc(1) a2=") && title.ends_with(") ..."), "{title}");
    let (status, said) = made("/nowhere/out.html");
    assert!(status == 1 && said.contains("sim: /nowhere/out.html: No such file"), "{said}");
}
