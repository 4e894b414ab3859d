//! The format, the converter and the shipped files.

use super::event::{self, Event, FOLDER, Summary};
use super::raw::{self, Header, Record};
use super::steps::{self, Kind};
use super::{convert, file};
use crate::base::random::next;
use crate::workloads;
use crate::workloads::workload::Tier;
use std::collections::HashMap;
use std::path::Path;

/// A few of each kind, with numbers at the borders of one and two bytes, and some that are refused.
const ALPHABET: [Event; 12] = [
    Event::End,
    Event::Thread(0),
    Event::Thread(1),
    Event::Allocate { size: 0 },
    Event::Allocate { size: 127 },
    Event::Zeroed { size: 128 },
    Event::Aligned { size: 300, align: 12 },
    Event::Resize { object: 0, size: 16_384 },
    Event::Resize { object: 1, size: 1 },
    Event::Free { object: 0 },
    Event::Free { object: 1 },
    Event::Free { object: 2 },
];

/// What is live after `events`, from the events alone: the oracle of `steps::walk`. None if they cannot have happened.
fn oracle(events: &[Event]) -> Option<Summary> {
    let mut summary = Summary::default();
    for process in events.split_inclusive(|event| *event == Event::End) {
        if process.last() != Some(&Event::End) {
            return None;
        }
        summary.processes += 1;
        let (mut sizes, mut threads, mut calls): (Vec<Option<u64>>, _, _) = (Vec::new(), 1, 0);
        for event in process {
            match *event {
                Event::End => continue,
                Event::Thread(thread) if thread > threads => return None,
                Event::Thread(thread) => {
                    threads = threads.max(thread + 1);
                    continue;
                }
                Event::Allocate { .. } | Event::Zeroed { .. } | Event::Aligned { .. } => sizes.push(event.size()),
                Event::Resize { object, size } => *sizes.get_mut(object as usize)?.as_mut()? = size,
                Event::Free { object } => drop(sizes.get_mut(object as usize)?.take()?),
            }
            calls += 1;
            summary.peak_bytes = summary.peak_bytes.max(sizes.iter().flatten().sum());
            summary.peak_blocks = summary.peak_blocks.max(sizes.iter().flatten().count() as u32);
        }
        summary.threads += threads;
        summary.calls += calls;
        summary.steps += calls + sizes.iter().flatten().count() as u64;
    }
    (summary.processes > 0).then_some(summary)
}

#[test]
fn every_short_trace_comes_back_as_it_was_or_is_refused() {
    let (mut kept, mut refused) = (0, 0);
    for length in 0..=4_u32 {
        for number in 0..ALPHABET.len().pow(length) {
            let digit = |place: u32| number / ALPHABET.len().pow(place) % ALPHABET.len();
            let mut events: Vec<Event> = (0..length).map(|place| ALPHABET[digit(place)]).collect();
            events.push(Event::End);
            let expected = oracle(&events);
            assert_eq!(steps::walk(&events, |_| {}).ok(), expected, "{events:?}");
            // Compressing takes far longer than anything else here: a part of the longest is enough.
            if length == 4 && !number.is_multiple_of(11) {
                continue;
            }
            match (file::encode(&events), expected) {
                (Ok(bytes), Some(summary)) => {
                    assert_eq!(file::decode(&bytes).expect("what was encoded"), (events, summary));
                    kept += 1;
                }
                (Err(_), None) => refused += 1,
                (result, expected) => panic!("{events:?}: {result:?}, but {expected:?}"),
            }
        }
    }
    assert!(kept > 300 && refused > 300, "{kept} kept, {refused} refused");
}

/// A trace of `calls` calls by up to five threads.
pub(crate) fn long_trace(calls: usize, seed: u64) -> Vec<Event> {
    let mut state = seed;
    let (mut events, mut live, mut blocks, mut threads) = (Vec::new(), Vec::new(), 0, 1);
    for _ in 0..calls {
        let random = next(&mut state);
        let size = random >> 32 >> (random % 30);
        let which = (random >> 8) as usize;
        match random >> 40 & 7 {
            0 if !live.is_empty() => {
                events.push(Event::Resize { object: live[which % live.len()], size });
                continue;
            }
            1..=3 if !live.is_empty() => {
                events.push(Event::Free { object: live.swap_remove(which % live.len()) });
                continue;
            }
            4 => {
                let thread = (which % 5).min(threads) as u32;
                threads = threads.max(thread as usize + 1);
                events.push(Event::Thread(thread));
                continue;
            }
            5 => events.push(Event::Zeroed { size }),
            6 => events.push(Event::Aligned { size, align: (which % 32) as u8 }),
            _ => events.push(Event::Allocate { size }),
        }
        live.push(blocks);
        blocks += 1;
    }
    events.push(Event::End);
    events
}

#[test]
pub(crate) fn long_traces_come_back_as_they_were() {
    for seed in 1..=4 {
        let mut events = long_trace(5_000, seed);
        events.extend(long_trace(300, seed + 100));
        let bytes = file::encode(&events).expect("a trace that can have happened");
        let (decoded, summary) = file::decode(&bytes).expect("what was encoded");
        assert!(decoded == events);
        assert_eq!(Some(summary), oracle(&events));
    }
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let events = long_trace(400, 7);
    let bytes = file::encode(&events).expect("a trace that can have happened");
    for length in 0..bytes.len() {
        assert!(file::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert!(file::decode(&longer).is_err(), "a byte too many");
    let mut unnoticed = 0;
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // A few bits of zstd's own headers mean nothing to its decoder; what it unpacks is the same then.
        if let Ok((decoded, _)) = file::decode(&damaged) {
            assert!(bit / 8 >= 64 && decoded == events, "bit {bit}");
            unnoticed += 1;
        }
    }
    assert!(unnoticed < 16, "{unnoticed} bits");
}

/// Where the checksum fits as well, the columns give the error.
#[test]
fn wrong_columns_are_an_error_and_never_a_panic() {
    let mut state = 99;
    let mut accepted = 0;
    for _ in 0..100_000 {
        let lengths: [u32; 5] = std::array::from_fn(|_| (next(&mut state) % 12) as u32);
        let total = lengths.iter().sum::<u32>() as usize;
        // Mostly small numbers: kinds that exist, and blocks that may.
        let columns: Vec<u8> = (0..total)
            .map(|_| {
                let random = next(&mut state);
                if random.is_multiple_of(8) { (random >> 8) as u8 } else { (random >> 8) as u8 % 8 }
            })
            .collect();
        if let Ok(events) = file::events(&columns, &lengths) {
            assert_eq!(events.len(), lengths[0] as usize);
            let _ = steps::walk(&events, |_| {});
            accepted += 1;
        }
    }
    assert!(accepted > 0, "no columns were read to their end");
    let too_large = [&[2, 0][..], &[0xFF; 9], &[0x02]].concat();
    assert!(file::events(&too_large, &[2, 10, 0, 0, 0]).is_err());
}

fn recording(records: &[Record]) -> Vec<u8> {
    let header = Header { magic: raw::MAGIC, started: 123, process: 1, parent: 1, zero: [0; 5] };
    [bytemuck::bytes_of(&header), bytemuck::cast_slice(records), &[0; 100]].concat()
}

fn record(kind: u8, thread: u32, size: u64, old: u64, new: u64) -> Record {
    Record { kind, align: if kind == raw::ALIGNED { 6 } else { 0 }, zero: 0, thread, size, old, new }
}

#[test]
fn addresses_become_numbers_of_blocks() {
    let process = convert::process(&recording(&[
        record(raw::ALLOCATE, 70, 10, 0, 0x100),
        record(raw::ZEROED, 71, 20, 0, 0x200),
        record(raw::ALIGNED, 70, 30, 0, 0x300),
        record(raw::RESIZE, 70, 40, 0x100, 0x400),
        record(raw::ALLOCATE, 70, 1, 0, 0x100),
        // Refused: the block stays.
        record(raw::RESIZE, 70, 50, 0x400, 0),
        record(raw::ALLOCATE, 70, 60, 0, 0),
        record(raw::FREE, 70, 0, 0x400, 0),
        // A resize of nothing allocates, one to nothing frees.
        record(raw::RESIZE, 70, 70, 0, 0x500),
        record(raw::RESIZE, 70, 0, 0x500, 0),
        // Neither of these blocks was seen.
        record(raw::FREE, 70, 0, 0x900, 0),
        record(raw::RESIZE, 70, 80, 0x901, 0x600),
        // The free of 0x200 was not seen.
        record(raw::ALLOCATE, 70, 90, 0, 0x200),
        record(raw::FREE, 71, 0, 0x200, 0),
    ]))
    .expect("a recording");
    let expected = [
        Event::Allocate { size: 10 },
        Event::Thread(1),
        Event::Zeroed { size: 20 },
        Event::Thread(0),
        Event::Aligned { size: 30, align: 6 },
        Event::Resize { object: 0, size: 40 },
        Event::Allocate { size: 1 },
        Event::Free { object: 0 },
        Event::Allocate { size: 70 },
        Event::Free { object: 4 },
        Event::Allocate { size: 80 },
        Event::Free { object: 1 },
        Event::Allocate { size: 90 },
        Event::Thread(1),
        Event::Free { object: 6 },
        Event::End,
    ];
    assert_eq!(process.events, expected);
    assert_eq!((process.started, process.unseen, process.lost), (123, 2, 1));
    assert!(convert::process(&recording(&[record(9, 70, 0, 0, 0)])).is_err());
    assert!(convert::process(b"hmalraw\x02").is_err());
}

#[test]
fn a_cut_trace_has_so_many_calls() {
    let mut events = long_trace(500, 3);
    events.extend(long_trace(500, 4));
    let whole = oracle(&events).expect("a trace").calls as usize;
    for calls in [1, 2, 100, whole / 2, whole - 1, whole, whole + 1] {
        let mut part = events.clone();
        convert::cut(&mut part, calls);
        assert_eq!(oracle(&part).expect("a trace").calls as usize, calls.min(whole));
    }
}

/// The rows of the table in `traces/README.md`: name, then its numbers.
fn table() -> HashMap<String, Vec<u64>> {
    let readme = std::fs::read_to_string(Path::new(FOLDER).join("README.md")).expect("a README");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').replace(',', ""));
        (cells.next().unwrap_or_default(), cells.filter_map(|cell| cell.parse().ok()).collect())
    })
    .collect()
}

#[test]
fn the_shipped_traces_are_what_their_readme_says() {
    let mut table = table();
    let shipped = workloads::ALL.iter().filter(|load| load.tier != Tier::Named);
    for load in shipped.filter_map(|load| load.name.strip_prefix("trace-")) {
        let bytes = std::fs::read(event::path(load)).expect("a shipped trace");
        let (events, summary) = file::decode(&bytes).expect("a well-formed trace");
        let row = table.remove(load).expect("a row");
        let Summary { calls, peak_bytes, peak_blocks, threads, processes, .. } = summary;
        assert_eq!(row, [calls, peak_bytes, peak_blocks.into(), processes.into(), threads.into()], "{load}");
        assert!(bytes.len() <= 400 << 10, "{load}: {} bytes", bytes.len());
        assert_steps_fit(&events, &summary);
    }
    assert!(table.is_empty(), "no workload is called {:?}", table.keys());
}

/// Each step finds its place as it must be, and the last leaves all places empty.
fn assert_steps_fit(events: &[Event], summary: &Summary) {
    let mut places = vec![None; summary.peak_blocks as usize];
    let mut count = 0;
    let seen = steps::walk(events, |step| {
        let place = &mut places[step.place as usize];
        match step.kind {
            Kind::Allocate | Kind::Zeroed | Kind::Aligned => {
                assert_eq!((*place, step.old), (None, 0));
                *place = Some((step.size, step.align));
            }
            Kind::Resize | Kind::ResizeAligned => {
                assert_eq!(*place, Some((step.old, step.align)));
                *place = Some((step.size, 0));
            }
            Kind::Free | Kind::FreeAligned => assert_eq!(place.take(), Some((step.old, step.align))),
        }
        let is_free = matches!(step.kind, Kind::Free | Kind::FreeAligned);
        assert!(step.size >= 8 || is_free);
        let is_aligned = matches!(step.kind, Kind::Aligned | Kind::ResizeAligned | Kind::FreeAligned);
        assert_eq!(step.align > 3, is_aligned);
        count += 1;
    });
    assert_eq!(seen.expect("a trace"), *summary);
    assert_eq!(count, summary.steps);
    assert!(places.iter().all(Option::is_none));
}
