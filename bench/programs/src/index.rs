//! An index of all words in a folder, made by two threads: each file's is merged into that of a pair of files, and so on.

use crate::Outcome;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

const THREADS: usize = 2;

/// Where a word stands: the file's number and the line.
type Places = Vec<(u32, u32)>;
type Index = HashMap<String, Places>;

pub(super) fn run(folder: &str, output: &mut impl Write) -> Outcome {
    let mut files = Vec::new();
    collect(Path::new(folder), &mut files)?;
    files.sort();
    let pool = ThreadPoolBuilder::new().num_threads(THREADS).build()?;
    let mut entries = pool.install(|| -> Result<Vec<(String, Places)>, std::io::Error> {
        let each = files.par_iter().enumerate().map(|(number, file)| of_file(number as u32, file));
        let index = each.try_reduce(Index::new, |left, right| Ok(merge(left, right)))?;
        let mut entries: Vec<_> = index.into_iter().collect();
        entries.par_iter_mut().for_each(|(_, places)| places.sort_unstable());
        entries.par_sort();
        Ok(entries)
    })?;
    entries.retain(|(_, places)| places.len() > 1);
    for (word, places) in entries {
        writeln!(output, "{word} {} {:?}", places.len(), &places[..2])?;
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), std::io::Error> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn of_file(number: u32, file: &Path) -> Result<Index, std::io::Error> {
    let mut index = Index::new();
    for (line, text) in std::fs::read_to_string(file)?.lines().enumerate() {
        for word in text.split_whitespace() {
            index.entry(word.to_lowercase()).or_default().push((number, line as u32));
        }
    }
    Ok(index)
}

fn merge(left: Index, right: Index) -> Index {
    let (mut large, small) = if left.len() < right.len() { (right, left) } else { (left, right) };
    for (word, places) in small {
        large.entry(word).or_default().extend(places);
    }
    large
}
