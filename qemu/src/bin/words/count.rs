//! From bytes in pieces to counted words.

use alloc::collections::BTreeMap;
use alloc::string::String;

/// Counts the words of a text that comes in pieces. A word, and a character, may straddle pieces.
pub(crate) struct Counter {
    words: BTreeMap<String, usize>,
    invalid: u64,
    /// The word that was not finished at the end of the last piece, as it stands in the text.
    pending: String,
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self { words: BTreeMap::new(), invalid: 0, pending: String::new() }
    }

    /// Every word, lower-cased, and how often it came.
    pub(crate) fn words(&self) -> &BTreeMap<String, usize> {
        &self.words
    }

    /// How many bytes were not UTF-8.
    pub(crate) fn invalid_bytes(&self) -> u64 {
        self.invalid
    }

    /// The text is over; `cut` bytes are the beginning of a character whose end never came.
    pub(crate) fn finish(&mut self, cut: usize) {
        self.invalid += cut as u64;
        self.end_pending();
    }

    /// Takes the next piece of the text. Returns how many bytes at its end are the beginning of a character: the next
    /// piece is to begin with them.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> usize {
        loop {
            let error = match core::str::from_utf8(bytes) {
                Ok(text) => {
                    self.take_text(text);
                    return 0;
                }
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            self.take_text(core::str::from_utf8(valid).unwrap_or_default());
            let Some(invalid) = error.error_len() else { return rest.len() };
            self.end_pending();
            self.invalid += invalid as u64;
            bytes = &rest[invalid..];
        }
    }

    fn take_text(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|character: char| !character.is_alphanumeric());
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            if end.is_none() || !self.pending.is_empty() {
                self.pending.push_str(word);
            }
            if end.is_some() {
                if self.pending.is_empty() { count(&mut self.words, word) } else { self.end_pending() }
            }
            rest = after.trim_start_matches(|character: char| !character.is_alphanumeric());
        }
    }

    /// The text went on with something that is not part of a word, or ended.
    fn end_pending(&mut self) {
        count(&mut self.words, &self.pending);
        self.pending.clear();
    }
}

/// Counts one word as it stands in the text; an empty one is none.
fn count(words: &mut BTreeMap<String, usize>, word: &str) {
    if word.is_empty() {
        return;
    }
    // Of the whole word, because a letter's lower case may depend on its place (the Greek sigma).
    let word = word.to_lowercase();
    if let Some(count) = words.get_mut(&word) {
        *count += 1;
    } else {
        words.insert(word, 1);
    }
}
