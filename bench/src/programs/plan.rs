//! Which program runs on which allocator, of those that are here.

use super::catalogue::{self, Call};
use super::heaps::{self, C_LIBRARY, Found, Heap, SYSTEM};
use super::job::Job;
use crate::base::build;
use crate::options::{Options, Program};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Seconds that a program may take: far more than any does.
const LIMIT: u64 = 120;

/// The package with the programs in Rust, and those of its allocators that are compiled in.
const OWN: &str = "bench/programs";
const COMPILED: [&str; 4] = [SYSTEM, "hmalloc", "mimalloc", "jemalloc"];

/// A program on an allocator.
pub(super) struct Case {
    pub(super) program: Program,
    pub(super) allocator: &'static str,
    pub(super) job: Job,
    /// Whose malloc it is to have, unless its allocator is compiled in.
    pub(super) preloaded: Option<Heap>,
}

pub(super) struct Plan {
    pub(super) cases: Vec<Case>,
    /// All that were asked for.
    pub(super) allocators: Vec<String>,
    /// What cannot be had here, and why.
    pub(super) missing: Vec<(String, String)>,
    pub(super) versions: Vec<String>,
}

impl Plan {
    /// Programs run in the folder `work`. What is built goes to `target`; an error is one of a build.
    pub(super) fn new(options: &Options, target: &Path, work: &Path) -> Result<Self> {
        let heaps = heaps::find(options, target)?;
        let allocators = heaps.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut plan = Self { cases: Vec::new(), allocators, missing: Vec::new(), versions: Vec::new() };
        for (name, found) in &heaps {
            match found {
                Ok(heap) => plan.versions.push(heap.version.clone()),
                Err(reason) => plan.missing.push(((*name).to_owned(), reason.clone())),
            }
        }
        options.programs().iter().try_for_each(|program| plan.add(*program, &heaps, work))?;
        plan.versions.sort();
        plan.versions.dedup();
        Ok(plan)
    }

    fn add(&mut self, program: Program, heaps: &[(&'static str, Found)], work: &Path) -> Result<()> {
        let call = catalogue::call(program);
        let files = match call.installed {
            Some((file, package)) if !is_installed(program, file) => {
                self.missing.push((program.to_string(), heaps::install(package)));
                return Ok(());
            }
            Some((file, package)) => {
                self.versions.push(heaps::package_version(package));
                vec![PathBuf::from(file)]
            }
            None => {
                self.versions.extend(heaps::compiled());
                COMPILED.iter().map(|name| build::release(OWN, name, "programs/own", &[])).collect::<Result<_>>()?
            }
        };
        self.cases.extend(heaps.iter().filter_map(|(name, found)| case(program, &call, &files, name, found, work)));
        Ok(())
    }
}

/// Whether the program is there, and what it needs.
fn is_installed(program: Program, file: &str) -> bool {
    let loader = (program == Program::Redis).then_some(catalogue::LOADER);
    loader.iter().chain([&file]).all(|file| Path::new(file).exists())
}

/// `files` are one for each allocator that is compiled in, or one for all. `None` if the allocator cannot be had.
fn case(
    program: Program,
    call: &Call,
    files: &[PathBuf],
    allocator: &'static str,
    found: &Found,
    work: &Path,
) -> Option<Case> {
    let compiled = COMPILED[1..].iter().position(|name| *name == allocator && call.installed.is_none());
    let preloaded = if compiled.is_some() { None } else { Some(found.as_ref().ok()?.clone()) };
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
