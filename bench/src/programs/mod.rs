//! Whole programs: what an allocator changes where most of the work is other work.
//!
//! ```text
//!   parent (this file)                                child.rs, server.rs, a process for each measurement
//!     heaps.rs      libraries to preload                start a program, wait for its end: time, peak, output
//!     catalogue.rs  programs and how to call them
//!     inputs.rs     what they work on                 bindings.rs
//!     record.rs, report.rs                              did the preload have an effect, before anything is timed
//! ```

mod bindings;
mod catalogue;
pub(crate) mod child;
mod heaps;
mod inputs;
mod record;
mod report;
mod server;

pub(crate) use record::FILE;

use crate::base::neighbours::Neighbours;
use crate::base::progress::Progress;
use crate::base::{build, child as process, machine};
use crate::options::{Options, Program};
use anyhow::{Context, Result, ensure};
use catalogue::Call;
use child::{Figures, Job};
use heaps::{C_LIBRARY, Heap, SYSTEM};
use record::{Data, Record, Run};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Seconds that a program may take: far more than any does.
const LIMIT: u64 = 120;

/// The package with the programs in Rust, and those of its allocators that are compiled in.
const OWN: &str = "bench/programs";
const COMPILED: [&str; 4] = [SYSTEM, "hmalloc", "mimalloc", "jemalloc"];

pub(crate) fn note(program: Program) -> &'static str {
    catalogue::call(program).note
}

/// Measures, prints tables, and leaves raw data. An error, after the tables, if any output was not what it should be.
pub(crate) fn run(options: &Options) -> Result<()> {
    let data = Comparison::begin(options)?.measure()?;
    show(&data, options);
    println!("\nRaw data of programs: {}", options.out.display());
    let failures = data.failures();
    ensure!(failures == 0, "{failures} failed: see above");
    Ok(())
}

/// Tables again from what a run wrote down.
pub(crate) fn again(folder: &Path, options: &Options) -> Result<()> {
    show(&Data::load(folder)?, options);
    Ok(())
}

fn show(data: &Data, options: &Options) {
    print!("{}", report::text(data, options.process(), options.markdown));
}

/// A program on an allocator.
struct Case {
    program: Program,
    allocator: &'static str,
    job: Job,
    /// Whose malloc it is to have, unless its allocator is compiled in.
    preloaded: Option<Heap>,
}

/// A run under way.
struct Comparison<'a> {
    options: &'a Options,
    work: PathBuf,
    cases: Vec<Case>,
    data: Data,
    /// The digest of each program's output, by the first allocator on which it ran.
    outputs: HashMap<Program, u64>,
}

impl<'a> Comparison<'a> {
    fn begin(options: &'a Options) -> Result<Self> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs");
        let work = target.join("work");
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir_all(&work)?;
        let (heaps, mut missing, mut cases) = (heaps::find(options, &target)?, Vec::new(), Vec::new());
        let mut versions: Vec<String> = Vec::new();
        for (name, heap) in &heaps {
            match heap {
                Ok(heap) => versions.push(heap.version.clone()),
                Err(error) => missing.push(Record::Missing { what: (*name).to_owned(), reason: format!("{error:#}") }),
            }
        }
        inputs::write(&work, options.quick).context("the inputs")?;
        for &program in options.programs() {
            let call = catalogue::call(program);
            let files = match files(&call, program) {
                Ok(files) => files,
                Err(error) => {
                    missing.push(Record::Missing { what: program.to_string(), reason: format!("{error:#}") });
                    continue;
                }
            };
            match call.installed {
                Some((_, package)) => versions.push(heaps::package_version(package)),
                None => versions.extend(heaps::compiled()),
            }
            cases.extend(heaps.iter().filter_map(|(name, heap)| case(program, &call, &files, name, heap, &work)));
        }
        versions.sort();
        versions.dedup();
        let run = Run {
            machine: machine::name(),
            kernel: machine::kernel(),
            seconds_since_1970: machine::seconds_since_1970(),
            rounds: options.rounds(),
            quick: options.quick,
            programs: options.programs().to_vec(),
            allocators: heaps.iter().map(|(name, _)| (*name).to_owned()).collect(),
            versions,
        };
        let mut data = Data::begin(&options.out, run)?;
        missing.into_iter().try_for_each(|record| data.keep(record))?;
        Ok(Self { options, work, cases, data, outputs: HashMap::new() })
    }

    /// First each program once on each allocator, to see that it has it; then all of them in rounds.
    fn measure(mut self) -> Result<Data> {
        let rounds = self.options.rounds();
        let progress = Progress::new((rounds + 1) * self.cases.len());
        let neighbours = Neighbours::begin();
        progress.part("which malloc");
        self.each(&progress, usize::MAX)?;
        for round in 0..rounds {
            progress.part(&format!("round {}", round + 1));
            fastrand::Rng::with_seed(round as u64).shuffle(&mut self.cases);
            // Those of a program one after another, in an order that changes.
            self.cases.sort_by_key(|case| case.program as usize);
            self.each(&progress, round)?;
        }
        progress.end();
        self.data.keep(Record::Neighbours { percent: neighbours.percent() })?;
        Ok(self.data)
    }

    /// A case that fails is not tried again.
    fn each(&mut self, progress: &Progress, round: usize) -> Result<()> {
        for case in std::mem::take(&mut self.cases) {
            let (program, allocator) = (case.program, case.allocator.to_owned());
            progress.step(&format!("{program} on {allocator}"));
            let is_first = round == usize::MAX;
            match self.one(&case, is_first) {
                Ok(figures) if !is_first => self.data.keep(Record::Process { program, allocator, round, figures })?,
                Ok(_) => {}
                Err(error) => {
                    self.data.keep(Record::Failed { program, allocator, reason: format!("{error:#}") })?;
                    continue;
                }
            }
            self.cases.push(case);
        }
        Ok(())
    }

    fn one(&mut self, case: &Case, is_first: bool) -> Result<Figures> {
        let figures = match &case.preloaded {
            Some(heap) if is_first => {
                let folder = self.work.join("bindings");
                let mut job = case.job.clone();
                job.environment.extend(bindings::ask(&folder)?);
                let figures = start(&job)?;
                bindings::check(&folder, |file| heap.is(file))?;
                figures
            }
            _ => start(&case.job)?,
        };
        let expected = *self.outputs.entry(case.program).or_insert(figures.digest);
        ensure!(figures.digest == expected, "its output is not that of the others");
        Ok(figures)
    }
}

/// What a process of its own says of the job; if that fails, why.
fn start(job: &Job) -> Result<Figures> {
    let output = process::command(&["program", &serde_json::to_string(job)?]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    process::parse(&output.stdout)
}

/// The file of a program on each allocator that is compiled in; of one that is installed, there is one file for all.
fn files(call: &Call, program: Program) -> Result<Vec<PathBuf>> {
    let Some((file, package)) = call.installed else {
        return COMPILED.iter().map(|name| build::release(OWN, name, "programs/own", &[])).collect();
    };
    let needed: &[&str] = if program == Program::Redis { &[file, catalogue::LOADER] } else { &[file] };
    ensure!(needed.iter().all(|file| Path::new(file).exists()), heaps::install(package));
    Ok(vec![PathBuf::from(file)])
}

/// `None` if the allocator cannot be had.
fn case(
    program: Program,
    call: &Call,
    files: &[PathBuf],
    allocator: &'static str,
    heap: &Result<Heap>,
    work: &Path,
) -> Option<Case> {
    let compiled = COMPILED[1..].iter().position(|name| *name == allocator && call.installed.is_none());
    let preloaded = if compiled.is_some() { None } else { Some(heap.as_ref().ok()?.clone()) };
    let library = preloaded.as_ref().and_then(|heap| match &heap.library {
        Some(library) => Some(library.display().to_string()),
        None => call.own_malloc.then(|| C_LIBRARY.to_owned()),
    });
    let own = call.environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let job = Job {
        file: files[compiled.map_or(0, |index| index + 1)].clone(),
        arguments: call.arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        environment: own.chain(library.map(|library| ("LD_PRELOAD".to_owned(), library))).collect(),
        folder: work.to_owned(),
        input: call.input.map(str::to_owned),
        serves: program == Program::Redis,
        limit: LIMIT,
    };
    Some(Case { program, allocator, job, preloaded })
}
