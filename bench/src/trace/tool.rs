//! `trace pack` and `trace show`.

use super::convert;
use super::event::{Event, Summary};
use super::file;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One trace at `out` of the recordings at `inputs`, of the first `calls` calls only if there is such a number.
pub(crate) fn pack(out: &Path, inputs: &[PathBuf], calls: Option<usize>) -> Result<()> {
    let mut processes = Vec::new();
    for path in files(inputs)? {
        let name = path.display();
        let process = convert::process(&bytes(&path)?).with_context(|| name.to_string())?;
        let (unseen, lost) = (process.unseen, process.lost);
        if unseen + lost > 0 {
            eprintln!("{name}: {unseen} calls for blocks that were never seen, {lost} frees unseen");
        }
        processes.push(process);
    }
    processes.sort_by_key(|process| process.started);
    // A process that asked for nothing is none.
    let events = processes.into_iter().map(|process| process.events).filter(|events| events.len() > 1);
    let mut events: Vec<Event> = events.flatten().collect();
    if let Some(calls) = calls {
        convert::cut(&mut events, calls);
    }
    std::fs::write(out, file::encode(&events)?).with_context(|| out.display().to_string())?;
    show(out)
}

/// The files among `inputs` and those in the folders among them.
fn files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in inputs {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
            files.extend(entries.flatten().map(|entry| entry.path()));
        } else {
            files.push(path.to_owned());
        }
    }
    files.sort();
    Ok(files)
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

/// Prints what a trace holds.
pub(crate) fn show(path: &Path) -> Result<()> {
    let bytes = bytes(path)?;
    let (events, summary) = file::decode(&bytes).with_context(|| path.display().to_string())?;
    print!("{}: {} bytes\n{}", path.display(), bytes.len(), describe(&events, &summary));
    Ok(())
}

/// The summary, how often each call is made, and which sizes are asked for.
fn describe(events: &[Event], summary: &Summary) -> String {
    let (mut calls, mut sizes) = (BTreeMap::new(), BTreeMap::new());
    for event in events.iter().filter(|event| event.is_call()) {
        *calls.entry(Event::KINDS[event.kind() as usize]).or_insert(0_u64) += 1;
        if let Some(size) = event.size() {
            *sizes.entry(size.max(1).next_power_of_two()).or_insert(0_u64) += 1;
        }
    }
    let Summary { calls: count, steps, peak_bytes, peak_blocks, threads, processes } = summary;
    let mut text = format!(
        "  {count} calls of {threads} threads in {processes} processes; {steps} operations in a round\n  live at most: \
         {peak_bytes} bytes, {peak_blocks} blocks\n"
    );
    text.extend(calls.iter().map(|(name, count)| format!("  {name:9} {count:9}\n")));
    text += "  bytes asked for, up to\n";
    text.extend(sizes.iter().map(|(size, count)| format!("  {size:9} {count:9}\n")));
    text
}
