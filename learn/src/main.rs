//! `cargo run -p learn -- help` says what there is.

use std::io::stdout;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    ExitCode::from(learn::run(&words, &mut stdout().lock()))
}
