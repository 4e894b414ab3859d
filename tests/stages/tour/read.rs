//! A tour as it is printed, read back.

use std::collections::BTreeMap;

/// A line of a drawing. The name is a letter, or says what the stretch is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) at: usize,
    pub(crate) header: usize,
    pub(crate) size: usize,
    pub(crate) name: String,
}

/// A call with everything that is printed for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) call: String,
    pub(crate) answer: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) break_at: usize,
    pub(crate) picture: String,
    pub(crate) notes: Vec<String>,
}

impl Step {
    pub(crate) fn row(&self, name: &str) -> &Row {
        self.rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }

    /// Sizes of the payloads with their names.
    pub(crate) fn drawn(&self) -> Vec<(usize, &str)> {
        self.rows.iter().map(|row| (row.size, row.name.as_str())).collect()
    }

    pub(crate) fn notes(&self, words: &str) -> bool {
        self.notes.iter().any(|note| note.contains(words))
    }
}

/// A distance as the tour prints it: `+16`.
pub(crate) fn distance(word: &str) -> Option<usize> {
    word.strip_prefix('+')?.parse().ok()
}

fn row(line: &str) -> Option<Row> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (at, header, size, name) = match words[..] {
        [at, "header", header, "payload", size, name] => (at, header.parse().ok()?, size, name),
        [at, size, name] => (at, 0, size, name),
        _ => return None,
    };
    Some(Row { at: distance(at)?, header, size: size.parse().ok()?, name: name.to_owned() })
}

/// The steps of a tour, by number.
pub(crate) fn read(text: &str) -> BTreeMap<usize, Step> {
    let mut steps = BTreeMap::<usize, Step>::new();
    for line in text.lines() {
        let numbered = line.get(..4).and_then(|number| number.trim().strip_suffix('.')?.parse::<usize>().ok());
        if let Some(number) = numbered {
            let (call, answer) = line[4..].split_once("->").unwrap_or((&line[4..], ""));
            let (call, answer) = (call.trim().to_owned(), answer.trim().to_owned());
            assert!(steps.insert(number, Step { call, answer, ..Step::default() }).is_none(), "{line}");
            continue;
        }
        // What comes before the first step is an introduction.
        let Some(mut last) = steps.last_entry() else { continue };
        let (step, line) = (last.get_mut(), line.trim());
        if let Some(row) = row(line) {
            step.rows.push(row);
        } else if let Some(at) = line.strip_suffix("  the break").and_then(distance) {
            step.break_at = at;
        } else if line.ends_with('|') {
            line.clone_into(&mut step.picture);
        } else if let Some(note) = line.strip_prefix("* ").or(line.strip_prefix("! ")) {
            step.notes.push(note.to_owned());
        }
    }
    steps
}
