//! What the programs of `src/bin/` do: the first argument names the task, the second what it works on.
//!
//! They are written as their authors would write them with these packages: nothing is done for the allocator's sake.

mod index;
mod json;
mod search;

use std::io::Write;
use std::process::ExitCode;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Does the task that the command line names.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["search", folder] => search::run(folder, &mut output),
        ["json", file] => json::run(file, &mut output),
        ["index", folder] => index::run(folder, &mut output),
        _ => Err("search FOLDER, json FILE or index FOLDER".into()),
    };
    match outcome.and_then(|()| Ok(output.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
