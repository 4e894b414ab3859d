//! Compares allocators in one run: time per operation, memory, instructions and system calls, each allocator and
//! workload in processes of its own.
//!
//! The parent interleaves the processes in rounds and writes down what each says. A child (`--child`) runs one workload
//! on one allocator and prints one line of numbers. Tables and charts are made from what was written down.
//!
//! The folders are layers. Each imports only from those before it:
//!
//! ```text
//! base                    this process, its children, numbers, tables
//! allocators              every peer behind one boundary
//! trace                   recorded calls, as they are kept
//! workloads               what is done with an allocator
//! options                 what the command line asks for
//! measure                 the comparison: children, their parent, the raw data
//! report                  tables and charts of that
//! threads                 the same for several threads
//! growth, memory, tiny    measurements apart from it, each with its own tables
//! misuse                  what each allocator does about a wrong free
//! programs                the same, of whole programs
//! ```

mod allocators;
mod base;
mod figures;
mod growth;
mod measure;
mod memory;
mod misuse;
mod options;
mod programs;
mod report;
mod threads;
mod tiny;
mod trace;
mod workloads;

use anyhow::{Result, bail};
use base::machine;
use clap::{Parser, ValueEnum};
use measure::data::Data;
use measure::record;
use measure::{child, parent, self_test};
use options::{Column, Command, Instead, Options, Program, Trace};
use std::path::Path;
use std::process::ExitCode;
use trace::tool;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [first, rest @ ..] if first == "--child" => child(rest),
        _ => run(&Options::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Allocates next to nothing, because the C library's heap is one of those that are measured.
fn child(arguments: &[String]) -> Result<()> {
    let Some((first, rest)) = arguments.split_first() else { bail!("what is a child to do?") };
    match first.as_str() {
        "threads" => threads::child::run(rest),
        "growth" => growth::child::run(rest),
        "figures-of-memory" => memory::child(rest),
        "mistake" => misuse::child(rest),
        "program" => programs::child::run(rest),
        _ => child::run(arguments),
    }
}

fn run(options: &Options) -> Result<()> {
    let markdown = options.markdown;
    options.check()?;
    match &options.command {
        Some(Command::Trace(Trace::Pack { first, out, inputs })) => return tool::pack(out, inputs, *first),
        Some(Command::Trace(Trace::Show { files })) => return files.iter().try_for_each(|path| tool::show(path)),
        None => {}
    }
    match &options.instead {
        Instead { list: true, .. } => list(),
        Instead { figures: true, .. } => figures::print()?,
        Instead { self_test: true, .. } => self_test::run()?,
        Instead { tiny: true, .. } => tiny::print(markdown)?,
        Instead { growth: true, .. } => growth::run(&options.out, options.quick, markdown)?,
        Instead { memory: true, .. } => memory::run(options)?,
        Instead { misuse: true, .. } => misuse::run(options)?,
        Instead { programs: true, .. } => programs::run(options)?,
        Instead { from: Some(folder), .. } => again(folder, options)?,
        instead => match instead.threads() {
            Some(count) => threads::run(options, count)?,
            None => compare(options)?,
        },
    }
    Ok(())
}

fn compare(options: &Options) -> Result<()> {
    report::show(&parent::compare(options)?, &options.out, options.process(), options.markdown)?;
    if options.all {
        threads::run(options, machine::even_processors())?;
        growth::run(&options.out, false, options.markdown)?;
        tiny::print(options.markdown)?;
        memory::run(options)?;
        misuse::run(options)?;
        programs::run(options)?;
    }
    Ok(())
}

/// From what a folder has: of one thread, of several, of programs.
fn again(folder: &Path, options: &Options) -> Result<()> {
    let [several, whole] = [record::THREADS, programs::FILE].map(|name| folder.join(name).exists());
    if !(several || whole) || folder.join(record::COMPARISON).exists() {
        report::show(&Data::load(folder, record::COMPARISON)?, folder, options.process(), options.markdown)?;
    }
    if several {
        report::show_threads(&Data::load(folder, record::THREADS)?, folder, options.process(), options.markdown)?;
    }
    if whole {
        programs::again(folder, options)?;
    }
    Ok(())
}

fn list() {
    println!("Allocators:");
    for entry in &allocators::ALL {
        println!("  {:24} {:32} {}", entry.name, entry.version().unwrap_or_default(), entry.note);
    }
    println!("Workloads:");
    for workload in &workloads::ALL {
        println!("  {:24} {}{}", workload.name, workload.note, workload.tier.remark());
    }
    println!("Columns of several threads:");
    for column in Column::value_variants() {
        println!("  {:24} {}", column.to_string(), threads::note(*column));
    }
    println!("Whole programs:");
    for program in Program::value_variants() {
        println!("  {:24} {}", program.to_string(), programs::note(*program));
    }
}
