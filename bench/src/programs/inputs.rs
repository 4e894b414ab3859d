//! What the programs work on: files made here, the same ones in every run.

use crate::base::random::{SEED, below, next};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Text of which a part is in the two files, and all of it in a folder of many.
pub(super) const WORDS: &str = "words.txt";
pub(super) const LINES: &str = "lines.txt";
pub(super) const TREE: &str = "tree";
pub(super) const DOCUMENTS: &str = "documents.json";
pub(super) const SOURCE: &str = "source.c";
pub(super) const PYTHON: &str = "words.py";
pub(super) const PERL: &str = "words.pl";
pub(super) const TABLES: &str = "tables.sql";

/// Bytes, and functions of the C file. `--quick` divides them by [`QUICK`].
const WORDS_BYTES: usize = 6 << 20;
const LINES_BYTES: usize = 48 << 20;
const FILES: usize = 384;
const FILE_BYTES: usize = 48 << 10;
const DOCUMENTS_COUNT: usize = 48_000;
const FUNCTIONS: usize = 80;
const QUICK: usize = 8;

/// How many words the text has.
const VOCABULARY: usize = 20_000;

/// Writes everything into `folder`.
pub(super) fn write(folder: &Path, quick: bool) -> Result<()> {
    let scale = if quick { QUICK } else { 1 };
    let mut text = Text::new();
    file(folder, WORDS, |out| text.write(out, WORDS_BYTES / scale))?;
    file(folder, LINES, |out| text.write(out, LINES_BYTES / scale))?;
    for index in 0..FILES / scale {
        let place = format!("{TREE}/{}", index % 16);
        std::fs::create_dir_all(folder.join(&place))?;
        file(folder, &format!("{place}/{index}.txt"), |out| text.write(out, FILE_BYTES))?;
    }
    file(folder, DOCUMENTS, |out| {
        (0..DOCUMENTS_COUNT / scale).try_for_each(|number| document(&mut text, out, number))
    })?;
    file(folder, SOURCE, |out| source(&mut text, out, FUNCTIONS / scale))?;
    for (name, script) in [
        (PYTHON, include_str!("../../programs/scripts/words.py")),
        (PERL, include_str!("../../programs/scripts/words.pl")),
        (TABLES, include_str!("../../programs/scripts/tables.sql")),
    ] {
        file(folder, name, |out| out.write_all(script.as_bytes()))?;
    }
    Ok(())
}

type Out = BufWriter<File>;

fn file(folder: &Path, name: &str, write: impl FnOnce(&mut Out) -> std::io::Result<()>) -> Result<()> {
    let path = folder.join(name);
    let create = || -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(&path)?);
        write(&mut out)?;
        out.flush()
    };
    create().with_context(|| path.display().to_string())
}

/// Words, some of them far more frequent than others.
struct Text {
    random: u64,
    vocabulary: Vec<String>,
}

impl Text {
    fn new() -> Self {
        const SYLLABLES: [&str; 16] =
            ["ra", "to", "mi", "lo", "en", "ka", "su", "ber", "tin", "vo", "ing", "pe", "da", "gul", "er", "sha"];
        let mut random = SEED;
        let word = |_| -> String {
            let syllables = 1 + below(next(&mut random), 5);
            (0..syllables).map(|_| SYLLABLES[below(next(&mut random), SYLLABLES.len())]).collect()
        };
        let vocabulary = (0..VOCABULARY).map(word).collect();
        Self { random, vocabulary }
    }

    fn below(&mut self, bound: usize) -> usize {
        below(next(&mut self.random), bound)
    }

    /// The first words are the most frequent: a place is uniform below one that is uniform.
    fn word(&mut self) -> &str {
        let bound = self.below(VOCABULARY) + 1;
        let place = self.below(bound);
        &self.vocabulary[place]
    }

    /// Lines of some words.
    fn write(&mut self, out: &mut impl Write, bytes: usize) -> std::io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let mut line = String::new();
            for _ in 0..4 + self.below(10) {
                line.push_str(self.word());
                line.push(' ');
            }
            writeln!(out, "{}", line.trim_end())?;
            left = left.saturating_sub(line.len());
        }
        Ok(())
    }
}

/// A line of JSON: text with escapes, numbers, lists and nested objects.
fn document(text: &mut Text, out: &mut impl Write, number: usize) -> std::io::Result<()> {
    let name = [text.word().to_owned(), text.word().to_owned()].join(" ");
    let tags: Vec<String> = (0..text.below(8)).map(|_| format!("{:?}", text.word())).collect();
    let points: Vec<String> =
        (0..text.below(12)).map(|_| format!("[{},{}.5]", text.below(9999), text.below(99))).collect();
    let [street, first, second] = [(); 3].map(|()| text.word().to_owned());
    let note = format!("{first}\\n\\\"{}\\\"", second.repeat(5));
    writeln!(
        out,
        "{{\"id\":{number},\"name\":\"{name}\",\"tags\":[{}],\"points\":[{}],\"address\":{{\"street\":\"{street}\",\
         \"house\":{},\"zip\":null}},\"note\":\"{note}\",\"valid\":{}}}",
        tags.join(","),
        points.join(","),
        text.below(200),
        number.is_multiple_of(3)
    )
}

/// Functions in C, each with loops and branches over arrays, that call those before them.
fn source(text: &mut Text, out: &mut impl Write, functions: usize) -> std::io::Result<()> {
    writeln!(out, "struct item {{ int key; long value; struct item *next; char name[16]; }};")?;
    for index in 0..functions {
        writeln!(
            out,
            "long work_{index}(struct item *first, const int *numbers, int count) {{\n    long sum = {index};"
        )?;
        writeln!(
            out,
            "    for (struct item *item = first; item; item = item->next) {{\n        switch (item->key % 9) {{"
        )?;
        for case in 0..8 {
            let (factor, shift) = (text.below(1000) + 3, text.below(7) + 1);
            writeln!(out, "        case {case}: item->value += sum * {factor} + (item->key >> {shift}); break;")?;
        }
        writeln!(out, "        default: sum ^= item->name[sum & 15];\n        }}\n    }}")?;
        for _ in 0..4 + text.below(8) {
            let (step, bound, factor) = (text.below(4) + 1, text.below(500), text.below(90) + 2);
            writeln!(out, "    for (int i = 0; i < count; i += {step}) {{")?;
            writeln!(
                out,
                "        if (numbers[i] > {bound}) sum += numbers[i] * {factor}; else sum -= numbers[i] / {factor};\n    }}"
            )?;
        }
        if index > 0 {
            let other = text.below(index);
            writeln!(out, "    if (sum & 1) sum += work_{other}(first, numbers, count / 2);")?;
        }
        writeln!(out, "    return sum;\n}}")?;
    }
    Ok(())
}
