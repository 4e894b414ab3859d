//! The program's work: a few hundred blocks of assorted sizes, a few kilobytes in all.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What is counted.
pub(crate) const TEXT: &str = "\
the heap is a row of spans and each span is a run of pages with a header that lies elsewhere so that no block borders \
on what describes it a request that is small gets a slot of a slab and a slab is a span cut into equal slots while a \
request that is large gets a span of its own free spans that touch become one and the last of them is where the break \
moves up when more is wanted and down when much is free a program that wants little should pay little a page that is \
never touched costs nothing and a page that is touched for one word costs as much as a full one so what a small \
program needs should lie close together and what it does not need should not be written at all";

/// A word with the places where it stands in the text.
pub(crate) struct Word {
    text: Box<str>,
    places: Vec<u32>,
}

/// The words of a text, the most frequent first, with an index by length.
pub(crate) struct Words {
    sorted: Vec<Word>,
    by_length: BTreeMap<usize, Vec<Box<str>>>,
}

/// Counts the words of `text`.
pub(crate) fn count(text: &str) -> Words {
    let mut places: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (place, word) in (0..).zip(text.split(' ')) {
        places.entry(String::from(word)).or_default().push(place);
    }
    let mut by_length: BTreeMap<usize, Vec<Box<str>>> = BTreeMap::new();
    for word in places.keys() {
        by_length.entry(word.len()).or_default().push(Box::from(word.as_str()));
    }
    let mut sorted: Vec<Word> =
        places.into_iter().map(|(text, places)| Word { text: text.into_boxed_str(), places }).collect();
    sorted.sort_by(|a, b| b.places.len().cmp(&a.places.len()).then_with(|| a.text.cmp(&b.text)));
    Words { sorted, by_length }
}

impl Words {
    /// One line: how many words, the most frequent ones, the longest one.
    pub(crate) fn report(&self) -> String {
        let mut line = String::new();
        append_number(&mut line, self.sorted.len());
        line.push_str(" words:");
        for word in self.sorted.iter().take(5) {
            line.push(' ');
            line.push_str(&word.text);
            line.push(' ');
            append_number(&mut line, word.places.len());
        }
        if let Some(longest) = self.by_length.values().next_back().and_then(|words| words.first()) {
            line.push_str("; longest: ");
            line.push_str(longest);
        }
        line.push('\n');
        line
    }
}

#[cfg(feature = "format")]
fn append_number(line: &mut String, number: usize) {
    use core::fmt::Write;
    let _ = write!(line, "{number}");
}

#[cfg(not(feature = "format"))]
fn append_number(line: &mut String, number: usize) {
    if number >= 10 {
        append_number(line, number / 10);
    }
    line.push(char::from(b'0' + (number % 10) as u8));
}
