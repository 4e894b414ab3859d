//! Compares allocators in one run: time per operation, memory, instructions and system calls, each allocator and
//! workload in processes of its own.
//!
//! The parent interleaves the processes in rounds and writes down what each says. A child (`--child`) runs one workload
//! on one allocator and prints one line of numbers. Tables and charts are made from what was written down.

mod allocators;
mod callgrind;
mod cells;
mod chart;
mod child;
mod clock;
mod figures;
mod kernel;
mod options;
mod ours;
mod pairs;
mod parent;
mod probe;
mod progress;
mod record;
mod report;
mod self_test;
mod smoke;
mod stats;
mod steps;
mod syscalls;
mod syscalls_table;
mod table;
mod trace;
mod tracee;
mod workloads;

use record::Data;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--child") {
        return child::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == "trace") {
        return trace::run(&arguments[1..]);
    }
    let task = match options::parse(&arguments) {
        Ok(task) => task,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::HELP);
            return ExitCode::FAILURE;
        }
    };
    let done = match task {
        options::Task::Help => {
            print!("{}", options::HELP);
            Ok(())
        }
        options::Task::List => {
            options::list();
            Ok(())
        }
        options::Task::Figures => return figures::print(),
        options::Task::SelfTest => return self_test::run(),
        options::Task::From { folder, view } => Data::load(&folder).and_then(|data| show(&data, &folder, view)),
        options::Task::Compare(options) => {
            parent::compare(&options).and_then(|data| show(&data, &options.out, options.view))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the tables, draws the charts and writes the cells.
fn show(data: &Data, folder: &Path, view: options::View) -> Result<(), String> {
    report::print(data, view);
    chart::draw(data, folder, view.process)?;
    cells::write(data, folder)?;
    println!("\nRaw data and charts: {}", folder.display());
    Ok(())
}
