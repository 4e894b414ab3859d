//! Counts the words of a text that is read in pieces.

use alloc::collections::BTreeMap;
use alloc::string::String;

/// Counts the words of a text. A word or a character may begin in one piece and end in the next.
pub(crate) struct Counter {
    words: BTreeMap<String, usize>,
    invalid: u64,
    /// The word that the last piece did not finish, not lower-cased.
    pending: String,
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self { words: BTreeMap::new(), invalid: 0, pending: String::new() }
    }

    /// Every word, lower-cased, and how often it occurred.
    pub(crate) fn words(&self) -> &BTreeMap<String, usize> {
        &self.words
    }

    /// How many bytes were not UTF-8.
    pub(crate) fn invalid_bytes(&self) -> u64 {
        self.invalid
    }

    /// Ends the text. The last `incomplete` bytes are the beginning of a character.
    pub(crate) fn finish(&mut self, incomplete: usize) {
        self.invalid += incomplete as u64;
        self.end_pending();
    }

    /// Counts the next piece of the text. Returns how many bytes at its end are the beginning of a character: the next
    /// piece must begin with them.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) -> usize {
        loop {
            let error = match core::str::from_utf8(bytes) {
                Ok(text) => {
                    self.add_text(text);
                    return 0;
                }
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            self.add_text(core::str::from_utf8(valid).unwrap_or_default());
            let Some(invalid) = error.error_len() else { return rest.len() };
            self.end_pending();
            self.invalid += invalid as u64;
            bytes = &rest[invalid..];
        }
    }

    fn add_text(&mut self, text: &str) {
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

    /// Counts the pending word, which has ended.
    fn end_pending(&mut self) {
        count(&mut self.words, &self.pending);
        self.pending.clear();
    }
}

/// Counts one word, not lower-cased. An empty one does not count.
fn count(words: &mut BTreeMap<String, usize>, word: &str) {
    if word.is_empty() {
        return;
    }
    // The word as a whole, because the lower case of a letter may depend on its position (the Greek sigma).
    let word = word.to_lowercase();
    if let Some(count) = words.get_mut(&word) {
        *count += 1;
    } else {
        words.insert(word, 1);
    }
}
