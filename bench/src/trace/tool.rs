//! `trace pack` and `trace show`.

use super::{Event, Summary, convert, file, steps};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const HELP: &str = "\
Usage: cargo run --release -- trace pack [--first N] OUT IN...
       cargo run --release -- trace show FILE...

  pack     one trace of what the recorder wrote: of the files IN, or of all files of a folder IN, in the order in which
           the processes began; with --first, of the first N calls only
  show     what a trace holds
";

/// Arguments: what follows `trace`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["pack", "--first", calls, out, inputs @ ..] if !inputs.is_empty() => match calls.parse() {
            Ok(calls) => pack(Path::new(out), inputs, Some(calls)),
            Err(_) => Err("--first needs a number".to_owned()),
        },
        ["pack", out, inputs @ ..] if !inputs.is_empty() && !out.starts_with("--") => {
            pack(Path::new(out), inputs, None)
        }
        ["show", files @ ..] if !files.is_empty() => files.iter().try_for_each(|path| show(Path::new(path))),
        _ => Err(HELP.to_owned()),
    }
}

fn pack(out: &Path, inputs: &[&str], calls: Option<usize>) -> Result<(), String> {
    let mut processes = Vec::new();
    for path in files(inputs)? {
        let process = convert::process(&bytes(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        if process.unseen + process.lost > 0 {
            let (unseen, lost) = (process.unseen, process.lost);
            eprintln!("{}: {unseen} calls for blocks that were never seen, {lost} frees unseen", path.display());
        }
        processes.push(process);
    }
    processes.sort_by_key(|process| process.started);
    // A process that asked for nothing is none.
    let mut events: Vec<Event> =
        processes.into_iter().map(|process| process.events).filter(|events| events.len() > 1).flatten().collect();
    if let Some(calls) = calls {
        convert::cut(&mut events, calls);
    }
    let trace = file::encode(&events)?;
    std::fs::write(out, trace).map_err(|error| format!("{}: {error}", out.display()))?;
    show(out)
}

/// The files among `inputs` and those in the folders among them.
fn files(inputs: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in inputs.iter().map(Path::new) {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
            files.extend(entries.flatten().map(|entry| entry.path()));
        } else {
            files.push(path.to_owned());
        }
    }
    files.sort();
    Ok(files)
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn show(path: &Path) -> Result<(), String> {
    let bytes = bytes(path)?;
    let (events, summary) = file::decode(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    print!("{}: {} bytes\n{}", path.display(), bytes.len(), describe(&events, &summary)?);
    Ok(())
}

/// The summary, how often each call is made, and which sizes are asked for.
fn describe(events: &[Event], summary: &Summary) -> Result<String, String> {
    let mut calls = BTreeMap::new();
    let mut sizes = BTreeMap::new();
    for event in events {
        let (name, size) = match *event {
            Event::End | Event::Thread(_) => continue,
            Event::Allocate { size } => ("allocate", Some(size)),
            Event::Zeroed { size } => ("zeroed", Some(size)),
            Event::Aligned { size, .. } => ("aligned", Some(size)),
            Event::Resize { size, .. } => ("resize", Some(size)),
            Event::Free { .. } => ("free", None),
        };
        *calls.entry(name).or_insert(0_u64) += 1;
        if let Some(size) = size {
            *sizes.entry(size.max(1).next_power_of_two()).or_insert(0_u64) += 1;
        }
    }
    let mut text = format!(
        "  {} calls of {} threads in {} processes; {} operations in a round\n  live at most: {} bytes, {} blocks\n",
        summary.calls, summary.threads, summary.processes, summary.steps, summary.peak_bytes, summary.peak_blocks
    );
    for (name, count) in &calls {
        text += &format!("  {name:9} {count:9}\n");
    }
    text += "  bytes asked for, up to\n";
    for (size, count) in &sizes {
        text += &format!("  {size:9} {count:9}\n");
    }
    debug_assert_eq!(steps::walk(events, |_| {})?, *summary);
    Ok(text)
}
