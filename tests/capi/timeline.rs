//! `hmalloc-run --timeline`: what a program asked for becomes one page, which a real browser opens, and whose numbers are those of
//! the program.

use crate::browser::Browser;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use support::installed::{Installed, capi, command, describe, run, succeed};
use support::places::repository;
use support::random::Random;
use tempfile::TempDir;

/// The largest page.
const MOST_BYTES: u64 = 400_000;

/// The known program.
fn program(folder: &Path) -> PathBuf {
    let (source, program) = (repository("tests/capi/timeline.c"), folder.join("known"));
    succeed(command("cc").args(["-w", "-fno-builtin"]).arg(source).arg("-o").arg(&program));
    program
}

/// Runs the known program to the end that is named, and makes a page of it.
fn recorded(folder: &Path, end: &str) -> (PathBuf, Output) {
    let page = folder.join(format!("{end}.html"));
    let mut start = command(capi().join("hmalloc-run"));
    start.arg("--timeline").arg(&page).arg(folder.join("known")).arg(end);
    let policy = if end == "wrong" { "report" } else { "abort" };
    let _turn = Installed::turn();
    (page, run(start.env("HMALLOC_POLICY", policy).env("TMPDIR", folder)))
}

/// What the known program asks for, counted by hand.
fn known(calls: u64, misuses: u64) -> Value {
    let sizes = || 100..1100_u64;
    let all: u64 = sizes().sum();
    let left: u64 = sizes().step_by(2).sum();
    json!({
        "calls": calls, "blocks": 1001, "bytes": all + (3 << 20), "peakBlocks": 1001, "peakBytes": (3 << 20) + left, "leftBlocks": 500,
        "leftBytes": left, "threads": 1, "unseen": 0, "refused": 0, "misuses": misuses,
    })
}

fn totals(browser: &mut Browser, panel: usize) -> Value {
    browser.value(&format!("heapPage.panels[{panel}].timeline.totals"))
}

#[test]
fn a_page_opens_in_a_browser_and_its_numbers_are_those_of_the_program() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    program(folder);
    let (page, output) = recorded(folder, "wrong");
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    assert!(fs::metadata(&page).is_ok_and(|page| page.len() < MOST_BYTES));
    let mut browser = Browser::new();
    browser.open(&page);
    assert_eq!(totals(&mut browser, 0), known(1503 + 2, 2));
    let says = browser.text(".record");
    assert!(says.contains("1,505 calls of 1 thread for 1,001 blocks of "), "{says}");
    assert!(
        says.contains(
            "; at most 1,001 live with 3,445,228 bytes; at the end 500 with 299,500 bytes; 2 wrong pointers."
        ),
        "{says}"
    );
    let events = browser.text(".events");
    assert!(events.contains("AlreadyFree: the start of block 1 of 101 bytes, which is free"), "{events}");
    assert!(events.contains("NotABlock: 16 bytes into block 2 of 102 bytes, which is live"), "{events}");
    // All memory is in one of the states, in each frame; and the last frame is the end.
    let sums =
        "(({ columns, frames }) => { const at = frames - 1; return [frames, columns.blocks[at], columns.requested[at],
        columns.call.every((_, i) => STATES.reduce((sum, { name }) => sum + columns[name][i], 0) === columns.heap[i]
            && columns.requested[i] <= columns.liveSmall[i] + columns.liveLarge[i]), Math.max(...columns.requested)]; })(heapPage.panels[0].timeline)";
    assert_eq!(browser.value(sums), json!([241, 500, 299_500, true, 3_445_228]));
    the_slider_moves(&mut browser);
    two_side_by_side(&mut browser, folder);
    assert!(browser.faults.is_empty(), "{:#?}", browser.faults);
    // The control: a fault is seen.
    browser.value("setTimeout(() => { throw new Error('planted') }), new Promise((done) => setTimeout(done, 50))");
    assert_eq!(browser.faults.len(), 1);
    let left: Vec<_> = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("hmalloc-timeline")), "{left:?}");
}

fn the_slider_moves(browser: &mut Browser) {
    let end = (browser.text(".place"), browser.text(".summary"));
    assert_eq!(end.0, "call 1,505 of 1,505");
    let pixels = "document.querySelector('.map').toDataURL()";
    let drawn = browser.value(pixels);
    browser.value("document.querySelector('.slider').focus()");
    browser.press("Home", 36);
    assert_eq!(browser.text(".place"), "call 7 of 1,505");
    assert_ne!(browser.text(".summary"), end.1);
    assert_ne!(browser.value(pixels), drawn);
    browser.press("ArrowRight", 39);
    assert_eq!(browser.text(".place"), "call 13 of 1,505");
    assert!(browser.text(".summary").starts_with("13 live blocks, asked for with 1,378 bytes. "));
    browser.press("End", 35);
    assert_eq!(((browser.text(".place"), browser.text(".summary")), browser.value(pixels)), (end, drawn));
}

/// Programs that were killed, by a signal or by the heap, have a whole record: their pages stand beside the first.
fn two_side_by_side(browser: &mut Browser, folder: &Path) {
    for (end, signal, calls, misuses) in [("killed", libc::SIGKILL, 1503, 0), ("stopped", libc::SIGABRT, 1504, 1)] {
        let (page, output) = recorded(folder, end);
        assert!(
            output.status.signal().is_none() && output.status.code() == Some(128 + signal),
            "{}",
            describe(&output)
        );
        browser.choose_file("#file", &page);
        let shown = format!("new Promise((done) => {{ const wait = () => heapPage.panels.length === 2
            && heapPage.panels[1].timeline.title.startsWith('{end}.html: ') ? done(true) : setTimeout(wait, 5); wait(); }})");
        assert_eq!(browser.value(&shown), json!(true));
        assert_eq!(totals(browser, 1), known(calls, misuses));
    }
    browser.value("document.querySelector('.slider').focus()");
    browser.press("Home", 36);
    let places = browser.value("[...document.querySelectorAll('.place')].map((place) => place.textContent)");
    assert_eq!(places, json!(["call 7 of 1,505", "call 7 of 1,504"]));
    // What is no page of this kind is said, and changes nothing.
    browser.choose_file("#file", &folder.join("known"));
    let said = "new Promise((done) => { const wait = () => heapPage.message.textContent || setTimeout(() => done(wait()), 5); done(wait()); })";
    browser.value(said);
    browser.value("new Promise((done) => setTimeout(done, 200))");
    assert_eq!(browser.text("#message"), "known: not a timeline");
}

/// The numbers of the first timeline of a page, without a browser.
fn first_totals(page: &Path) -> Value {
    let text = fs::read_to_string(page).expect("a page");
    let (_, totals) = text.split_once("\"totals\":").expect("totals");
    serde_json::from_str(totals.split_inclusive('}').next().expect("an end")).expect("JSON")
}

/// Arguments may be any bytes; and a record of which no page can be made is kept, where the last line says.
#[test]
fn arguments_that_are_no_text_are_recorded_and_no_record_is_lost() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    program(folder);
    let page = folder.join("any.html");
    let _turn = Installed::turn();
    let start = |page: &Path| {
        let mut start = command(capi().join("hmalloc-run"));
        start.arg("--timeline").arg(page).arg(folder.join("known")).arg("wrong").arg(OsStr::from_bytes(b"\xff--help"));
        run(start.env("HMALLOC_POLICY", "report").env("TMPDIR", folder))
    };
    let output = start(&page);
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    assert_eq!(first_totals(&page), known(1503 + 2, 2));
    // Root may write anywhere but to a full device.
    let output = start(Path::new("/dev/full"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let kept = said.lines().last().and_then(|line| line.rsplit_once("the record is kept in ")).expect(&said).1;
    assert!(fs::read_dir(kept).is_ok_and(|mut files| files.next().is_some()), "{said}");
}

/// C++'s operators are seen, also those that the heap underneath defines, and one that finds no memory throws. From a prefix, where
/// `timeline/install` puts what is needed.
#[test]
fn blocks_of_cpp_are_recorded_by_an_installation() {
    let installed = Installed::new();
    let folder = &installed.directory;
    let on_prefix = |script: PathBuf| {
        let _turn = Installed::turn();
        succeed(command(script).arg(installed.prefix()));
    };
    on_prefix(repository("timeline/install"));
    let (source, program) = (folder.path().join("new.cc"), folder.path().join("new"));
    let text = "#include <cstdlib>\n#include <new>\nstruct alignas(64) Line { char bytes[200]; };\n\
        int main(int, char **argv) { int count = std::atoi(argv[1]), caught = 0;\n\
        for (int i = 0; i < count; i++) { int *volatile one = new int, *volatile array = new int[10 + i];\n\
            Line *volatile line = new Line; int *volatile quiet = new (std::nothrow) int; delete one; delete[] array; delete line;\n\
            if (i % 2) delete quiet; }\n\
        try { char *volatile none = new char[1ul << 62]; delete[] none; } catch (std::bad_alloc &) { caught = 1; }\n\
        return caught ? 7 : 1; }\n";
    fs::write(&source, text).expect("a source file");
    succeed(command("c++").args(["-O0", "-w", "-std=c++17"]).arg(&source).arg("-o").arg(&program));
    let totals = |count: &str| {
        let page = folder.path().join("new.html");
        let mut start = command(installed.prefix().join("bin/hmalloc-run"));
        let output = run(start.arg("--timeline").arg(&page).arg(&program).arg(count));
        assert_eq!(output.status.code(), Some(7), "{}", describe(&output));
        let totals = first_totals(&page);
        move |name: &str| totals[name].as_u64().expect("a number")
    };
    let (without, with) = (totals("0"), totals("100"));
    assert_eq!((with("blocks") - without("blocks"), with("leftBlocks") - without("leftBlocks")), (400, 50));
    assert_eq!((with("calls") - without("calls"), with("misuses"), with("unseen"), with("refused")), (750, 0, 0, 1));
    on_prefix(capi().join("uninstall"));
    let left = |file: &str| installed.prefix().join(file).exists();
    assert!(!left("bin/hmalloc-timeline") && !left("lib/libhmalloc_recorder.so") && !left("bin/hmalloc-run"));
}

/// A record as the recorder writes it: kind, size, old and new address of each call.
fn raw(calls: &[[u64; 4]]) -> Vec<u8> {
    let mut bytes = b"hmalraw\x01".to_vec();
    bytes.resize(64, 0);
    for &[kind, size, old, new] in calls {
        bytes.extend((kind | 7 << 32).to_ne_bytes());
        [size, old, new].iter().for_each(|number| bytes.extend(number.to_ne_bytes()));
    }
    bytes
}

/// So many calls of a program that takes and gives back at random.
fn random(seed: u64, calls: usize) -> Vec<[u64; 4]> {
    let (mut random, mut live, mut next) = (Random::new(seed), Vec::new(), 1 << 20);
    let mut made = Vec::new();
    while made.len() < calls {
        if live.len() > random.below(4000) {
            let block = live.swap_remove(random.below(live.len()));
            made.push([5, 0, block, 0]);
        } else {
            let most = [100, 3000, 70_000][random.below(3)];
            let size = 1 + random.below(most) as u64;
            made.push([1, size, 0, next]);
            live.push(next);
            next += 1 << 20;
        }
    }
    made
}

/// The program that makes the pages.
fn maker() -> PathBuf {
    let script = "here=$0; . \"$here/build.sh\"; build_timeline; printf %s \"$maker\"";
    let _turn = Installed::turn();
    succeed(command("sh").args(["-euc", script]).arg(capi())).into()
}

/// A wrong pointer is one that the record shows to be wrong: what it does not show accuses nobody.
#[test]
fn what_a_record_does_not_show_accuses_nobody() {
    let folder = TempDir::new().expect("a folder");
    let (record, page) = (folder.path().join("7.0.calls.raw"), folder.path().join("page.html"));
    let calls = [
        [1, 100, 0, 16],
        [5, 0, 16, 0],
        // Calls are missing here: the address may have been given out again.
        [1, u64::MAX, 0, 0],
        [5, 0, 16, 0],
        // Of blocks from before a fork.
        [5, 0, 4096, 0],
        [4, 10, 16_384, 32_768],
        // Wrong: inside of a block, and twice.
        [1, 50, 0, 32],
        [5, 0, 40, 0],
        [5, 0, 32, 0],
        [5, 0, 32, 0],
        // The program's request was refused.
        [1, 60, 0, 0],
    ];
    fs::write(&record, raw(&calls)).expect("a record");
    succeed(command(maker()).arg(&page).arg(&record));
    let totals = first_totals(&page);
    let numbers = ["misuses", "unseen", "refused", "blocks", "leftBlocks", "calls"].map(|name| totals[name].as_u64());
    assert_eq!(numbers, [2, 3, 1, 3, 1, 7].map(Some), "{totals}");
    // What is no record is said.
    fs::write(&record, "another file").expect("a file");
    let output = run(command(maker()).arg(&page).arg(&record));
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("7.0.calls.raw: not a record of this version\n"));
}

#[test]
fn stages_have_pages_and_many_long_records_are_short_pages() {
    let folder = TempDir::new().expect("a folder");
    let (record, page) = (folder.path().join("7.0.calls.raw"), folder.path().join("page.html"));
    // Three blocks; the middle one is freed, then the first, so that stage 5 alone has one free run of both.
    let calls = [[1, 100, 0, 16], [1, 200, 0, 160], [1, 50, 0, 512], [5, 0, 160, 0], [5, 0, 16, 0]];
    fs::write(&record, raw(&calls)).expect("a record");
    let stages = (1..=5).flat_map(|stage| ["--stage".to_owned(), stage.to_string()]);
    let maker = maker();
    succeed(command(&maker).args(stages).arg(&page).arg(&record));
    let mut browser = Browser::new();
    browser.open(&page);
    let runs =
        "heapPage.all.map(({ heap, totals, frames, columns, pins }) => [heap.split(',')[0], totals.peakBytes, frames,
        columns.blocks[frames - 1], runs(pins[frames - 1]).free.map(({ bytes }) => bytes)])";
    let seen = browser.value(runs);
    let stage = |number: usize| seen[number].clone();
    for (number, free) in
        [(1, json!([200, 100])), (2, json!([208, 112])), (3, json!([208, 112])), (4, json!([208, 112]))]
    {
        assert_eq!(stage(number), json!([format!("stage {number}"), 350, 5, 1, free]));
    }
    assert_eq!(stage(5)[4].as_array().map(Vec::len), Some(1), "{seen}");
    assert!(stage(0)[0].as_str().is_some_and(|heap| heap.starts_with("hmalloc ")), "{seen}");
    // Stages are beside the heap in one page, by the button.
    browser.value("document.querySelector('#compare').click()");
    assert_eq!(
        browser.value("heapPage.panels.map(({ timeline }) => timeline.heap).slice(1)"),
        json!(["stage 1, minimal"])
    );
    for process in 0..8 {
        fs::write(folder.path().join(format!("{process}.0.random.raw")), raw(&random(process, 60_000)))
            .expect("a record");
    }
    succeed(
        command(&maker)
            .arg(&page)
            .arg(folder.path().join("0.0.random.raw"))
            .args((1..8).map(|process| folder.path().join(format!("{process}.0.random.raw")))),
    );
    assert!(fs::metadata(&page).is_ok_and(|page| page.len() < MOST_BYTES));
    browser.open(&page);
    assert_eq!(browser.value("heapPage.all.map(({ totals }) => totals.calls)"), json!(vec![60_000; 8]));
    assert!(browser.faults.is_empty(), "{:#?}", browser.faults);
}
