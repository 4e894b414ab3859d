//! Compares allocators in one run: time per operation, memory, instructions and system calls, each allocator and
//! workload in processes of its own.
//!
//! The parent interleaves the processes in rounds and writes down what each says. A child (`--child`) runs one workload
//! on one allocator and prints one line of numbers. Tables and charts are made from what was written down.
//! `growth/`, `memory/`, `tiny/` and `figures.rs` measure apart from that, and `trace/` makes what the workloads `trace-*` replay.

mod allocators;
mod base;
mod figures;
mod growth;
mod measure;
mod memory;
mod options;
mod report;
mod tiny;
mod trace;
mod workloads;

use measure::record::Data;
use measure::{child, parent, self_test};
use options::{Options, Task, View};
use report::{cells, chart};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("--child") => return child::run(&arguments[1..]),
        Some("trace") => trace::run(&arguments[1..]),
        _ => match options::parse(&arguments) {
            Ok(task) => run(task),
            Err(message) => Err(format!("{message}\n\n{}", options::HELP)),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), String> {
    match task {
        Task::Help => print!("{}", options::HELP),
        Task::List => options::list(),
        Task::Figures => figures::print()?,
        Task::SelfTest => self_test::run()?,
        Task::Tiny { markdown } => tiny::print(markdown)?,
        Task::Growth { out, quick, markdown } => growth::run(&out, quick, markdown)?,
        Task::Memory(options) => memory::run(&options)?,
        Task::From { folder, view } => show(&Data::load(&folder)?, &folder, view)?,
        Task::Compare(options) => compare(&options)?,
    }
    Ok(())
}

fn compare(options: &Options) -> Result<(), String> {
    show(&parent::compare(options)?, &options.out, options.view)?;
    if options.everything {
        growth::run(&options.out, false, options.view.markdown)?;
        tiny::print(options.view.markdown)?;
        memory::run(&memory::Options { markdown: options.view.markdown, ..memory::Options::default() })?;
    }
    Ok(())
}

/// Prints the tables, draws the charts and writes the cells.
fn show(data: &Data, folder: &Path, view: View) -> Result<(), String> {
    report::print(data, view);
    chart::draw(data, folder, view.process)?;
    cells::write(data, folder)?;
    println!("\nRaw data and charts: {}", folder.display());
    Ok(())
}
