//! Makes one HTML file of recorded calls. `hmalloc-run --timeline OUT.html` calls it; `--help` says what else it does.

use hmalloc_timeline::page::{MOST_TIMELINES, page};
use hmalloc_timeline::record::Record;
use hmalloc_timeline::replay::replay;
use hmalloc_timeline::stages;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
usage: hmalloc-timeline [--stage N] [--title TEXT] [--] OUT.html RECORD...

Writes one HTML file with the heap over time for each recorded process, at most eight: those with the most calls. A RECORD is a
file of the recorder, or a folder of such files.

  --stage N     on stage N of the journal, 1 to 5, besides the heap of the library; of the first 20,000 calls
  --title TEXT  what was run
  --help        print this, and stop
";

/// Stages search a list at each call: more calls would take too long.
const STAGE_CALLS: usize = 20_000;
/// The arena of a stage.
const STAGE_BYTES: usize = 256 << 20;

/// The command line.
#[derive(Default)]
struct Asked {
    help: bool,
    stages: Vec<usize>,
    title: String,
    out: PathBuf,
    records: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let Some(asked) = asked(std::env::args_os().skip(1)) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    if asked.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match make(&asked) {
        Ok(said) => {
            eprintln!("hmalloc-timeline: {said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hmalloc-timeline: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for. Paths, and the title, may be any bytes.
fn asked(mut arguments: impl Iterator<Item = OsString>) -> Option<Asked> {
    let mut asked = Asked::default();
    let mut paths = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--") => paths.extend(arguments.by_ref().map(PathBuf::from)),
            Some("--help") => return Some(Asked { help: true, ..asked }),
            Some("--stage") => {
                let stage = arguments.next()?.to_str()?.parse().ok();
                asked.stages.push(stage.filter(|stage| (1..=5).contains(stage))?);
            }
            Some("--title") => asked.title = arguments.next()?.to_string_lossy().into_owned(),
            Some(option) if option.starts_with("--") => return None,
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    let mut paths = paths.into_iter();
    asked.out = paths.next()?;
    asked.records = paths.collect();
    if asked.records.is_empty() { None } else { Some(asked) }
}

/// Writes the page, and says what is in it.
fn make(asked: &Asked) -> Result<String, String> {
    let mut records = Vec::new();
    for path in files(&asked.records)? {
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let record = Record::read(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        if !record.calls.is_empty() {
            records.push((name(&path), record));
        }
    }
    if records.is_empty() {
        return Err("nothing was recorded: the program made no call that the recorder can see".to_owned());
    }
    records.sort_by_key(|(_, record)| (std::cmp::Reverse(record.calls.len()), record.started));
    let (processes, calls) = (records.len(), records.iter().map(|(_, record)| record.calls.len()).sum::<usize>());
    records.truncate(MOST_TIMELINES.saturating_sub(asked.stages.len()).max(1));
    let mut timelines = Vec::new();
    for (name, record) in &records {
        timelines.push(replay(&title(&asked.title, name, record.process), record));
    }
    let (name, first) = &records[0];
    let cut = Record { calls: first.calls[..first.calls.len().min(STAGE_CALLS)].to_vec(), ..first.clone() };
    for &stage in &asked.stages {
        timelines.extend(stages::replay(stage, &title(&asked.title, name, first.process), &cut, STAGE_BYTES));
    }
    let html = page(&timelines);
    std::fs::write(&asked.out, &html).map_err(|error| format!("{}: {error}", asked.out.display()))?;
    let shown =
        if records.len() < processes { format!(", of which {} are shown", records.len()) } else { String::new() };
    let es = if processes == 1 { "" } else { "es" };
    Ok(format!("{}: {calls} calls of {processes} process{es}{shown}, {} bytes", asked.out.display(), html.len()))
}

/// The longest part of a command line that a page is headed with.
const TITLE: usize = 120;

fn title(title: &str, name: &str, process: u32) -> String {
    let mut title: String = title.chars().take(TITLE + 1).collect();
    if title.chars().count() > TITLE {
        title.pop();
        title.push('…');
    }
    let separator = if title.is_empty() { "" } else { ": " };
    format!("{title}{separator}{name}, process {process}")
}

/// The program's name: the recorder calls its files NUMBER.ATTEMPT.NAME.raw.
fn name(path: &Path) -> String {
    let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    file.splitn(3, '.').nth(2).map_or(file.clone(), str::to_owned)
}

/// The files among the paths, and those in the folders among them.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
            files.extend(entries.flatten().map(|entry| entry.path()));
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    Ok(files)
}
