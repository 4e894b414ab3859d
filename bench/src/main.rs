//! Compares allocators in one run: time per operation and memory, each allocator and workload in a process of its own.
//!
//! The parent interleaves the processes in rounds and keeps, for each allocator and workload, the best process's
//! median. A child (`--child`) runs one workload on one allocator and prints one line of numbers.

mod allocators;
mod cargo;
mod child;
mod figures;
mod grid;
mod growth;
mod kernel;
mod options;
mod parent;
mod table;
mod tiny;
mod workloads;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--child") {
        return child::run(&arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == growth::child::ARGUMENT) {
        return growth::child::run(&arguments[1..]);
    }
    match options::parse(&arguments) {
        Ok(options::Task::Help) => print!("{}", options::HELP),
        Ok(options::Task::List) => options::list(),
        Ok(options::Task::Figures) => return figures::print(),
        Ok(options::Task::Growth { out, quick }) => return growth::run(&out, quick),
        Ok(options::Task::Tiny) => return tiny::print(),
        Ok(options::Task::Compare(options)) => parent::compare(&options),
        Err(message) => {
            eprintln!("{message}\n\n{}", options::HELP);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
