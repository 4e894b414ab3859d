//! A heap's numbers as text, and its pictures.

use hmalloc::brk::{Emulated, Reserved};
use hmalloc::{Heap, Hmalloc, LocalHeap, PAGE, SpanKind, Stats};
use std::alloc::Layout;
use std::mem::MaybeUninit;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a layout")
}

/// A heap with blocks of many sizes, some of which were freed.
fn used() -> Heap<Reserved> {
    let mut heap = Heap::new(Reserved::new());
    for number in 0..3000_usize {
        let size = [10, 100, 1000, 10_000, 100_000][number % 5] + number;
        let block = heap.allocate(layout(size)).expect("memory");
        if number.is_multiple_of(3) {
            // SAFETY: the block is not used.
            unsafe { heap.free(block.as_ptr()) }.expect("a block");
        }
    }
    heap
}

/// The numbers under their names, as `Debug` has them: what all texts are compared with.
fn fields(stats: &Stats) -> Vec<(String, usize)> {
    let text = format!("{stats:?}");
    let inside = text.trim_start_matches("Stats { ").trim_end_matches(" }");
    let pairs = inside.split(", ").map(|pair| pair.split_once(": ").expect("a field"));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

#[test]
fn json_is_json() {
    for stats in [used().stats(), Stats::default(), Hmalloc::new().stats()] {
        let mut text = String::new();
        stats.write_json(&mut text).expect("a string takes all");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let object = json.as_object().expect("an object");
        let fields = fields(&stats);
        assert_eq!((object.len(), fields.len()), (12, 11), "{text}");
        for (name, number) in fields {
            assert_eq!(object[&name].as_u64(), Some(number as u64), "{name}");
        }
        assert_eq!(object["source"].as_str(), Some(stats.source.to_string().as_str()));
    }
}

/// A line of the exposition format, taken apart by its grammar: name, labels, value.
fn sample(line: &str) -> (&str, Vec<(String, String)>, f64) {
    let is_name = |at: usize, c: char| c == '_' || c == ':' || c.is_ascii_alphabetic() || at > 0 && c.is_ascii_digit();
    let end = line.char_indices().find(|&(at, c)| !is_name(at, c)).expect("an end").0;
    let (name, mut rest) = line.split_at(end);
    assert!(!name.is_empty(), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        let (label, mut left) = inside.split_once("=\"").expect("a label");
        let mut value = String::new();
        loop {
            let mut characters = left.chars();
            let first = characters.next().expect("it is closed");
            left = characters.as_str();
            match first {
                '"' => break,
                '\\' => {
                    let escaped = left.chars().next().expect("an escape");
                    left = &left[1..];
                    value.push(match escaped {
                        'n' => '\n',
                        '\\' | '"' => escaped,
                        other => panic!("no escape: {other}"),
                    });
                }
                other => value.push(other),
            }
        }
        labels.push((label.to_owned(), value));
        rest = left.strip_prefix('}').expect("one label");
    }
    let value = rest.strip_prefix(' ').expect("a space");
    (name, labels, value.parse().expect("a number"))
}

#[test]
fn prometheus_can_read_it() {
    let (first, second) = (used().stats(), Stats::default());
    let names = ["first", "a \"strange\\ name\nof two lines"];
    let (mut one, mut two) = (String::new(), String::new());
    first.write_prometheus(&mut one).expect("a string takes all");
    Stats::write_prometheus_of(&[(names[0], first), (names[1], second)], &mut two).expect("a string takes all");
    for (text, heaps) in [(one, vec![("", first)]), (two, vec![(names[0], first), (names[1], second)])] {
        assert!(text.ends_with('\n'));
        let mut lines = text.lines();
        let mut seen = Vec::new();
        while let Some(help) = lines.next() {
            let (name, words) = help.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect("HELP first");
            assert!(words.ends_with('.'));
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            assert_eq!(lines.next(), Some(format!("# TYPE {name} {kind}").as_str()));
            for (heap, stats) in &heaps {
                let (found, labels, value) = sample(lines.next().expect("a sample"));
                let label = if heap.is_empty() { vec![] } else { vec![("heap".to_owned(), (*heap).to_owned())] };
                assert_eq!((found, labels), (name, label));
                let field = name.strip_prefix("hmalloc_").expect("the prefix").trim_end_matches("_total");
                let number = fields(stats).into_iter().find(|(name, _)| name == field).expect("a field").1;
                assert_eq!(value, number as f64, "{name}");
            }
            seen.push(name);
        }
        assert_eq!(seen.len(), 11);
    }
}

#[test]
fn a_person_can_read_it() {
    let stats = used().stats();
    let text = stats.to_string();
    assert_eq!(text.lines().count(), 9, "{text}");
    let plain = text.replace(',', "");
    for (name, number) in fields(&stats).into_iter().filter(|(name, _)| name != "aside_bytes") {
        assert!(plain.contains(&format!(" {number} ")) || plain.contains(&format!(" {number}\n")), "{name}: {text}");
    }
    assert!(text.contains("source: reserved"), "{text}");
    for (number, grouped) in [(0, "0"), (999, "999"), (1000, "1,000"), (usize::MAX, "18,446,744,073,709,551,615")] {
        let stats = Stats { live_bytes: number, ..Stats::default() };
        if usize::BITS == 64 || number < 1_000_000 {
            assert!(stats.to_string().contains(&format!(" {grouped} bytes")), "{stats}");
        }
    }
}

#[test]
fn a_histogram_counts_every_live_block_once() {
    let heap = used();
    let (stats, histogram) = (heap.stats(), heap.histogram());
    assert_eq!(histogram.bands().map(|band| band.blocks).sum::<usize>(), stats.live_blocks);
    assert_eq!(histogram.bands().map(|band| band.bytes).sum::<usize>(), stats.live_bytes);
    for band in histogram.bands() {
        let blocks = heap.blocks().filter(|block| block.state == hmalloc::BlockState::Used);
        let inside = blocks.filter(|block| (band.smallest..=band.largest).contains(&block.size)).count();
        assert_eq!(inside, band.blocks, "{band:?}");
    }
    let text = histogram.to_string();
    assert_eq!(text.lines().count(), histogram.bands().count() + 1, "{text}");
    assert!(text.lines().any(|line| line.ends_with(&format!(" {}", "#".repeat(40)))), "{text}");
    assert_eq!(LocalHeap::new().histogram().bands().count(), 0);
}

/// What a map says of each page, by its address.
fn pages(map: &str) -> Vec<(usize, char)> {
    let mut pages = Vec::new();
    for line in map.lines().skip(1) {
        let (address, drawn) = line.split_once("  ").expect("an address and pages");
        let start = usize::from_str_radix(address.trim_start_matches("0x"), 16).expect("an address");
        assert!(!drawn.is_empty() && drawn.len() <= 64, "{line}");
        pages.extend(drawn.chars().enumerate().map(|(at, character)| (start + at * PAGE, character)));
    }
    pages
}

fn compare<B: hmalloc::brk::Brk>(heap: &Heap<B>) {
    let drawn = pages(&heap.map().to_string());
    let spans = heap.spans().flat_map(|span| {
        (0..span.bytes / PAGE).map(move |page| {
            let character = match span.kind {
                SpanKind::Metadata => 'm',
                SpanKind::Foreign => 'x',
                SpanKind::Free => '.',
                SpanKind::Large => {
                    if page == 0 {
                        '['
                    } else {
                        '='
                    }
                }
                SpanKind::Slab { capacity, live, .. } if live == capacity => '#',
                SpanKind::Slab { capacity, live, .. } => char::from(b'0' + (live * 10 / capacity) as u8),
            };
            (span.address + page * PAGE, character)
        })
    });
    assert_eq!(drawn, spans.collect::<Vec<_>>());
}

#[test]
fn a_map_shows_every_page_once() {
    compare(&used());
    compare(&Heap::new(Reserved::new()));
    // In regions, with gaps between them, and with foreign memory.
    let mut heap = Heap::new(Reserved::with_addresses(1));
    (0..200).for_each(|number| _ = heap.allocate(layout(number * 1000)).expect("memory"));
    assert!(heap.stats().mapped_bytes > 0);
    compare(&heap);
    let mut arena = vec![MaybeUninit::uninit(); 16 << 20];
    let mut heap = Heap::new(Emulated::new(&mut arena));
    for _ in 0..5 {
        heap.allocate(layout(900_000)).expect("memory");
        heap.brk_mut().foreign_move(100_000);
    }
    assert!(heap.stats().foreign_bytes > 0);
    compare(&heap);
}

#[test]
fn a_heap_of_threads_is_drawn_as_it_is() {
    let heap: &'static Hmalloc = Box::leak(Box::new(Hmalloc::new()));
    (0..3000).for_each(|number| _ = heap.allocate(layout(number * 10)).expect("memory"));
    let (map, histogram) = (heap.map().to_string(), heap.histogram());
    heap.with(|heap| {
        assert_eq!(map, heap.map().to_string());
        assert_eq!(histogram, heap.histogram());
    });
    assert!(map.lines().count() > 40);
}

/// Nothing is allocated for any of it: the destination is an array.
#[test]
fn texts_fit_where_nothing_can_be_allocated() {
    struct Array([u8; 4096], usize);
    impl std::fmt::Write for Array {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let place = self.0.get_mut(self.1..self.1 + text.len()).ok_or(std::fmt::Error)?;
            place.copy_from_slice(text.as_bytes());
            self.1 += text.len();
            Ok(())
        }
    }
    let stats = used().stats();
    let mut array = Array([0; 4096], 0);
    stats.write_json(&mut array).expect("there is room");
    stats.write_prometheus(&mut array).expect("there is room");
    // Where there is none, the error comes through.
    assert!((0..100).any(|_| stats.write_json(&mut array).is_err()));
}
