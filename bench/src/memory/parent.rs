//! Starts a process for each case and allocator, and makes tables of what they say.

use crate::allocators::candidate::Entry;
use crate::base::child;
use crate::base::progress::Progress;
use crate::base::table::Table;
use crate::options::{Options, Part};
use serde::de::DeserializeOwned;
use std::process::{Command, Stdio};

/// What `--quick` divides bytes by.
const QUICK: usize = 16;

pub(super) struct Parent<'a> {
    pub(super) options: &'a Options,
    pub(super) allocators: Vec<&'static Entry>,
    pub(super) progress: Progress,
    /// What failed, and what else belongs below the tables of a part.
    pub(super) remarks: Vec<String>,
}

impl<'a> Parent<'a> {
    /// `processes` is how many each allocator has.
    pub(super) fn new(options: &'a Options, allocators: Vec<&'static Entry>, processes: usize) -> Self {
        let progress = Progress::new(processes * allocators.len());
        Self { options, allocators, progress, remarks: Vec::new() }
    }

    pub(super) fn scale(&self) -> usize {
        if self.options.quick { QUICK } else { 1 }
    }

    /// A process that measures one case of one allocator; its answer is piped.
    pub(super) fn command(&self, part: Part, entry: &Entry, case: &str) -> Command {
        self.progress.step(&format!("{} on {case}", entry.name));
        let [part, scale] = [part.to_string(), self.scale().to_string()];
        let rest = self.options.rest.as_millis().to_string();
        let mut command = child::command(&["figures-of-memory", &part, entry.name, case, &scale, &rest]);
        command.stdout(Stdio::piped());
        command
    }

    pub(super) fn remark(&mut self, entry: &Entry, case: &str, text: &str) {
        self.remarks.push(format!("{} on {case}: {text}", entry.name));
    }

    /// A table with a row for each allocator, made of the line of numbers that its process says.
    pub(super) fn measure<T: DeserializeOwned>(
        &mut self,
        part: Part,
        case: &str,
        caption: &str,
        header: &[&str],
        row: impl Fn(T) -> Vec<String>,
    ) -> String {
        let mut rows = Vec::new();
        for entry in self.allocators.clone() {
            let answer = child::output(&mut self.command(part, entry, case)).and_then(|line| child::parse(&line));
            let answer = answer.inspect_err(|reason| self.remark(entry, case, &format!("{reason:#}")));
            rows.push(answer.ok().map(&row));
        }
        self.table(caption, header, &rows)
    }

    /// A table with a row for each allocator. Where its process failed, there are dashes.
    pub(super) fn table(&self, caption: &str, header: &[&str], rows: &[Option<Vec<String>>]) -> String {
        let mut table = Table::new(caption, header, self.options.markdown);
        for (entry, row) in self.allocators.iter().zip(rows) {
            table.row(entry.name, row.clone().unwrap_or_else(|| vec!["-".to_owned(); header.len()]));
        }
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;
    use clap::Parser;

    #[test]
    fn a_failed_process_has_dashes() {
        let options = Options::parse_from(["bench", "--memory", "--markdown"]);
        let entries = allocators::ALL[..2].iter().collect();
        let row = vec!["1".to_owned(), "2".to_owned()];
        let table = Parent::new(&options, entries, 1).table("resident", &["a", "b"], &[Some(row), None]);
        assert!(table.starts_with("**resident**"), "{table}");
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[4], ["|", "hmalloc", "|", "1", "|", "2", "|"]);
        assert_eq!(lines[5], ["|", "hmalloc-alone", "|", "-", "|", "-", "|"]);
    }
}
