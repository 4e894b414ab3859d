//! Whole programs: what an allocator changes where most of the work is other work.
//!
//! ```text
//!   parent (this file)                                child.rs, server.rs, a process for each measurement
//!     heaps.rs      libraries to preload                start a program, wait for its end: time, peak, output
//!     catalogue.rs  programs and how to call them
//!     inputs.rs     what they work on                 bindings.rs
//!     plan.rs       which of them on which              did the preload have an effect, before anything is timed
//!     record.rs, report.rs
//! ```

mod bindings;
mod catalogue;
pub(crate) mod child;
mod heaps;
mod inputs;
mod job;
mod plan;
mod record;
mod report;
mod server;

pub(crate) use record::FILE;

use crate::base::neighbours::Neighbours;
use crate::base::progress::Progress;
use crate::base::{child as process, machine};
use crate::options::{Options, Program};
use anyhow::{Context, Result, ensure};
use job::{Figures, Job};
use plan::{Case, Plan};
use record::{Data, Record, Run};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

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
        let work = target.join(format!("work.{}", std::process::id()));
        std::fs::create_dir_all(&work)?;
        inputs::write(&work, options.quick).context("the inputs")?;
        let plan = Plan::new(options, &target, &work)?;
        let run = Run {
            machine: machine::name(),
            kernel: machine::kernel(),
            seconds_since_1970: machine::seconds_since_1970(),
            rounds: options.rounds(),
            quick: options.quick,
            programs: options.programs().to_vec(),
            allocators: plan.allocators,
            versions: plan.versions,
        };
        let mut data = Data::begin(&options.out, run)?;
        plan.missing.into_iter().try_for_each(|(what, reason)| data.keep(Record::Missing { what, reason }))?;
        Ok(Self { options, work, cases: plan.cases, data, outputs: HashMap::new() })
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
        std::fs::remove_dir_all(&self.work)?;
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
