//! Starts a process for each case and allocator, and makes tables of what they say.

use super::{Options, Part, QUICK};
use crate::allocators::Entry;
use crate::base::progress::Progress;
use crate::base::table;
use crate::measure::child::{self, OUT_OF_MEMORY};
use std::process::{Command, ExitStatus, Stdio};

pub(super) struct Parent<'a> {
    pub(super) options: &'a Options,
    pub(super) progress: Progress,
    /// What failed, and what else belongs below the tables of a part.
    pub(super) remarks: Vec<String>,
}

impl<'a> Parent<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let processes: usize = options.parts.iter().map(|part| part.processes()).sum();
        let progress = Progress::new((processes * options.allocators.len()) as u64);
        Self { options, progress, remarks: Vec::new() }
    }

    pub(super) fn scale(&self) -> usize {
        if self.options.quick { QUICK } else { 1 }
    }

    /// A process that measures one case of one allocator; its answer is piped.
    pub(super) fn command(&self, part: Part, entry: &Entry, case: &str) -> Result<Command, String> {
        self.progress.step(&format!("{} on {case}", entry.name));
        let (scale, rest) = (self.scale().to_string(), self.options.rest.as_millis().to_string());
        let mut command = child::command(&["figures-of-memory", part.name(), entry.name, case, &scale, &rest])?;
        command.stdout(Stdio::piped());
        Ok(command)
    }

    /// What such a process says, or `None` and a remark.
    pub(super) fn answer(&mut self, part: Part, entry: &Entry, case: &str) -> Result<Option<Vec<u8>>, String> {
        let output = self.command(part, entry, case)?.output().map_err(|error| error.to_string())?;
        Ok(match reason(output.status) {
            None => Some(output.stdout),
            Some(reason) => {
                self.remark(entry, case, &reason);
                None
            }
        })
    }

    /// The same for one line of `N` whole numbers.
    pub(super) fn numbers<const N: usize>(
        &mut self,
        part: Part,
        entry: &Entry,
        case: &str,
    ) -> Result<Option<[u64; N]>, String> {
        self.answer(part, entry, case)?.map(|line| parse(&line)).transpose()
    }

    pub(super) fn remark(&mut self, entry: &Entry, case: &str, text: &str) {
        self.remarks.push(format!("{} on {case}: {text}", entry.name));
    }

    /// A table with a row for each allocator. Where its process failed, there are dashes.
    pub(super) fn table(&self, caption: &str, header: &[&str], rows: &[Option<Vec<String>>]) -> String {
        let cells = header.len();
        let header = [""].iter().chain(header).map(|&cell| cell.to_owned()).collect();
        let rows = self.options.allocators.iter().zip(rows).map(|(entry, row)| {
            let cells = row.clone().unwrap_or_else(|| vec!["-".to_owned(); cells]);
            [entry.name.to_owned()].into_iter().chain(cells).collect()
        });
        table::section(caption, header, rows.collect(), self.options.markdown)
    }
}

/// Why a process has no answer.
pub(super) fn reason(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(OUT_OF_MEMORY), _) => Some("a request was refused".to_owned()),
        (_, Some(libc::SIGALRM)) => Some(format!("took over {} s", super::child::PATIENCE)),
        _ => Some(format!("its process died: {status}")),
    }
}

/// Reads a line of `N` whole numbers.
pub(super) fn parse<const N: usize>(line: &[u8]) -> Result<[u64; N], String> {
    let line = String::from_utf8_lossy(line);
    let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
    let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| format!("its process answered {line:?}"))
}

/// Bytes in MiB, to three digits.
pub(super) fn mib(bytes: u64) -> String {
    table::number(bytes as f64 / f64::from(1 << 20))
}

/// A count with commas, as in the captions.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_line_has_all_its_numbers_or_is_refused() {
        assert_eq!(parse(b"1 20 300\n"), Ok([1, 20, 300]));
        for line in [&b"1 20"[..], b"1 20 300 4", b"1 20 x", b"1 20 -3", b""] {
            assert!(parse::<3>(line).is_err());
        }
    }

    #[test]
    fn bytes_and_counts_are_short() {
        assert_eq!([mib(0), mib(1 << 20), mib(300_000_000)], ["0.00", "1.00", "286"]);
        assert_eq!(
            [grouped(1), grouped(300), grouped(65_536), grouped(1_000_000)],
            ["1", "300", "65,536", "1,000,000"]
        );
    }

    #[test]
    fn a_failure_has_a_reason() {
        let reasons = [0, 3 << 8, libc::SIGALRM, libc::SIGSEGV].map(|status| reason(ExitStatus::from_raw(status)));
        assert_eq!(reasons[0], None);
        assert_eq!(reasons[1].as_deref(), Some("a request was refused"));
        assert!(reasons[2].as_ref().is_some_and(|reason| reason.starts_with("took over")));
        assert!(reasons[3].as_ref().is_some_and(|reason| reason.contains("SIGSEGV")), "{reasons:?}");
    }

    #[test]
    fn who_failed_has_dashes() {
        let options = Options { markdown: true, ..Options::default() };
        let row = vec!["1".to_owned(), "2".to_owned()];
        let table = Parent::new(&options).table("resident", &["a", "b"], &[Some(row), None]);
        assert!(table.starts_with("**resident**"), "{table}");
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[4], ["|", "hmalloc", "|", "1", "|", "2", "|"]);
        assert_eq!(lines[5], ["|", "hmalloc-lock", "|", "-", "|", "-", "|"]);
    }
}
