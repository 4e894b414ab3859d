//! A program that stops where it says so, and the pages of memory it has touched by then.

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSegment};
use procfs::process::{MMapPath, MemoryMap, MemoryPageFlags, PageInfo, Process};
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The kernel's page on the only architecture these programs are for.
const KERNEL_PAGE: u64 = 4096;

/// Pages that a process has written, by where they are, and all that are resident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pages {
    /// Between the break's start and the break.
    pub(super) heap: u64,
    /// In anonymous mappings.
    pub(super) mapped: u64,
    /// The program's own variables, an arena among them.
    pub(super) program: u64,
    /// The stack.
    pub(super) stack: u64,
    /// Resident pages of any kind: also those of the program's file, which the kernel maps around each one used.
    pub(super) resident: u64,
}

impl Pages {
    /// All written pages.
    pub(super) fn written(&self) -> u64 {
        self.heap + self.mapped + self.program + self.stack
    }

    /// Adds up the mappings of a process whose program was loaded to `segments`. A private page counts as written once
    /// the process has a copy of its own: what is dirty in the file itself, as after a build, is not.
    fn of(mappings: &[MemoryMap], segments: &[Range<u64>]) -> Result<Self> {
        let mut pages = Self::default();
        for mapping in mappings {
            let count = |name: &str| mapping.extension.map.get(name).map(|bytes| bytes / KERNEL_PAGE);
            let (Some(resident), Some(written)) = (count("Rss"), count("Anonymous")) else {
                bail!("this kernel's smaps have no Rss and Anonymous");
            };
            pages.resident += resident;
            let start = mapping.address.0;
            match &mapping.pathname {
                MMapPath::Heap => pages.heap += written,
                MMapPath::Stack => pages.stack += written,
                // Variables that are zero at first lie in mappings without a name.
                _ if segments.iter().any(|segment| segment.contains(&start)) => pages.program += written,
                _ => pages.mapped += written,
            }
        }
        Ok(pages)
    }
}

/// A running program with pipes to its standard input and output.
pub(super) struct Stopped {
    child: Child,
    segments: Vec<Range<u64>>,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Stopped {
    pub(super) fn start(program: &Path) -> Result<Self> {
        let spawn = || Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let start = || anyhow::Ok((segments(program)?, spawn()?));
        let (segments, mut child) = start().with_context(|| program.display().to_string())?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).context("no pipes")?;
        Ok(Self { child, segments, input, output: BufReader::new(output) })
    }

    /// Reads lines until the program says `word` and stops. Returns the lines before.
    pub(super) fn until(&mut self, word: &str) -> Result<String> {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("the program ended before it said {word:?}: {}", self.child.wait()?);
            }
            if line.trim_end() == word {
                return Ok(said);
            }
            said.push_str(&line);
        }
    }

    /// The pages the program has touched so far.
    pub(super) fn pages(&self) -> Result<Pages> {
        Pages::of(&self.mappings()?, &self.segments)
    }

    /// Addresses of the pages of the break that are resident.
    pub(super) fn heap_pages(&self) -> Result<Vec<u64>> {
        let mut map = self.process()?.pagemap()?;
        let mut resident = Vec::new();
        for mapping in self.mappings()?.iter().filter(|mapping| mapping.pathname == MMapPath::Heap) {
            let (start, end) = mapping.address;
            for page in start / KERNEL_PAGE..end / KERNEL_PAGE {
                if let PageInfo::MemoryPage(flags) = map.get_info(page as usize)?
                    && flags.contains(MemoryPageFlags::PRESENT)
                {
                    resident.push(page * KERNEL_PAGE);
                }
            }
        }
        Ok(resident)
    }

    /// Lets the program run to where it stops next.
    pub(super) fn go_on(&mut self) -> Result<()> {
        Ok(self.input.write_all(b"\n")?)
    }

    /// Lets the program run to its end.
    pub(super) fn finish(mut self) -> Result<()> {
        self.go_on()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the program died: {status}");
        Ok(())
    }

    fn process(&self) -> Result<Process> {
        Ok(Process::new(self.child.id() as i32)?)
    }

    fn mappings(&self) -> Result<Vec<MemoryMap>> {
        Ok(self.process()?.smaps()?.0)
    }
}

/// The addresses of a program that is loaded where its file says, in whole pages.
fn segments(program: &Path) -> Result<Vec<Range<u64>>> {
    let bytes = std::fs::read(program)?;
    let file = object::File::parse(&*bytes)?;
    let pages = |segment: object::Segment<'_, '_>| {
        let (start, end) = (segment.address(), segment.address() + segment.size());
        start & !(KERNEL_PAGE - 1)..end.next_multiple_of(KERNEL_PAGE)
    };
    Ok(file.segments().map(pages).collect())
}

#[cfg(test)]
mod tests {
    use super::Pages;
    use procfs::FromBufRead;
    use procfs::process::MemoryMaps;

    /// A mapping as the kernel writes it, with only the lines that count.
    fn mapping(range: &str, name: &str, resident: u64, written: u64) -> String {
        format!("{range} rw-p 00000000 00:00 0 {name}\nRss: {resident} kB\nAnonymous: {written} kB\nVmFlags: rd wr\n")
    }

    fn pages(mappings: &[String]) -> anyhow::Result<Pages> {
        let segments = [0x20_0000..0x21_1000, 0x21_2000..0x31_2000];
        Pages::of(&MemoryMaps::from_buf_read(mappings.concat().as_bytes()).unwrap().0, &segments)
    }

    #[test]
    fn pages_are_counted_where_they_are() {
        let answer = pages(&[
            mapping("00200000-00210000", "/bin/tiny", 64, 0),
            mapping("00210000-00211000", "/bin/tiny", 4, 4),
            mapping("00212000-00312000", "", 8, 8),
            mapping("01000000-01040000", "[heap]", 20, 20),
            mapping("7f0000000000-7f0000010000", "", 16, 12),
            mapping("7ff000000000-7ff000021000", "[stack]", 12, 8),
            mapping("7ff000022000-7ff000024000", "[vdso]", 8, 0),
        ]);
        assert_eq!(answer.unwrap(), Pages { heap: 5, mapped: 3, program: 3, stack: 2, resident: 33 });
    }

    #[test]
    fn an_arena_in_the_program_is_the_programs_and_one_apart_is_not() {
        let inside = pages(&[mapping("00212000-00312000", "", 40, 40)]);
        assert_eq!(inside.map(|pages| (pages.program, pages.mapped)).unwrap(), (10, 0));
        let apart = pages(&[mapping("00312000-00412000", "", 40, 40)]);
        assert_eq!(apart.map(|pages| (pages.program, pages.mapped)).unwrap(), (0, 10));
    }

    #[test]
    fn smaps_without_the_counts_are_an_error() {
        let text = "00200000-00210000 rw-p 00000000 00:00 0 [heap]\nRss: 4 kB\nVmFlags: rd\n".to_owned();
        assert!(pages(&[text]).is_err());
    }
}
