//! Shows one milestone of the journal, or the production heap, at work on the process's own program break.
//!
//! All of them get the same calls. The heap is drawn after each, so that the tours can be compared call by call.
#![no_std]
#![no_main]

mod draw;
mod heaps;
mod named;
mod predict;
mod script;

use core::ffi::CStr;
use core::fmt::{self, Write};
use heaps::{Milestone, Shown};
use hmalloc::Heap;
use hmalloc::brk::Linux;
use hmalloc::stages::s1_minimal::Minimal;
use hmalloc::stages::s2_aligned::Aligned;
use hmalloc::stages::s3_linked::Linked;
use hmalloc::stages::s4_splitting::Splitting;
use hmalloc::stages::s5_coalescing::Coalescing;
use hmalloc_qemu::show_heap;
use hmalloc_runtime::{File, Output, Process, STDIN, STDOUT, Text, program, say};
use predict::Questions;
use script::Tour;

const HELP: &str = "\
usage: tour 1 | 2 | 3 | 4 | 5 | heap  [--play | --answers FILE]

Shows a milestone of the journal at work: the same calls for each of them, and
after every call the heap. The last one is the production heap.

Before each call it asks what will happen: will the break go up, down or stay?
At which distance from its start will the payload lie? Answers come from
standard input, or from FILE, one in a line; an empty line passes. --play asks
nothing.

  1      minimal      headers, first fit, and nothing else
  2      aligned      payloads that any type can live in
  3      linked       frees are verified, the last block goes back
  4      splitting    blocks are split, the top is trimmed
  5      coalescing   free neighbours become one block
  heap                the production heap
";

program!(main);

fn main(process: Process) -> i32 {
    let mut arguments = process.arguments().skip(1);
    let (which, option, file) = (arguments.next(), arguments.next(), arguments.next());
    let mut output = Output::new(STDOUT);
    let questions = match (option.map(CStr::to_bytes), file) {
        (None, None) => Some(Questions::new(STDIN)),
        (Some(b"--play"), None) => None,
        (Some(b"--answers"), Some(path)) => match File::open(path) {
            Ok(file) => Some(Questions::new(file)),
            Err(errno) => {
                say(format_args!("tour: {}: {}\n", Text(path), errno.description().unwrap_or("unknown error")));
                return 1;
            }
        },
        _ => {
            say(format_args!("tour: after the tour comes --play, or --answers and a file\n{HELP}"));
            return 1;
        }
    };
    let more = arguments.next();
    let known = match (which, more) {
        (Some(which), None) => show(which.to_bytes(), questions, &mut output),
        _ => None,
    };
    if known.is_none() {
        match which.filter(|_| more.is_none()) {
            Some(which) => say(format_args!("tour: there is no tour called {}\n{HELP}", Text(which))),
            None => say(format_args!("tour: one argument says which tour\n{HELP}")),
        }
        return 1;
    }
    // Writing stops at the first error, which is kept until here.
    output.flush().map_or_else(
        |errno| {
            say(format_args!("tour: standard output: {}\n", errno.description().unwrap_or("unknown error")));
            1
        },
        |()| 0,
    )
}

/// Runs the tour that the argument names. `None` if it names none.
fn show(which: &[u8], questions: Option<Questions>, output: &mut Output) -> Option<fmt::Result> {
    Some(match which {
        b"--help" | b"-h" => output.write_str(HELP),
        b"1" => {
            tour(which, "Milestone 1: a heap at all", Milestone(Minimal::new(Linux)), questions, output).map(|_| ())
        }
        b"2" => {
            tour(which, "Milestone 2: aligned payloads", Milestone(Aligned::new(Linux)), questions, output).map(|_| ())
        }
        b"3" => {
            tour(which, "Milestone 3: a list of headers", Milestone(Linked::new(Linux)), questions, output).map(|_| ())
        }
        b"4" => tour(which, "Milestone 4: splitting and trimming", Milestone(Splitting::new(Linux)), questions, output)
            .map(|_| ()),
        b"5" => {
            tour(which, "Milestone 5: free neighbours are joined", Milestone(Coalescing::new(Linux)), questions, output)
                .map(|_| ())
        }
        b"heap" => tour(which, "The production heap", Heap::new(Linux), questions, output).and_then(|heap| {
            writeln!(output)?;
            show_heap(&heap, output)
        }),
        _ => return None,
    })
}

/// One tour, with the command that makes a page of the same calls: that takes a libc, so the simulator does it.
fn tour<H: Shown>(
    which: &[u8],
    title: &str,
    mut heap: H,
    questions: Option<Questions>,
    output: &mut Output,
) -> Result<H, fmt::Error> {
    writeln!(output, "{title}\n")?;
    let which = core::str::from_utf8(which).unwrap_or_default();
    writeln!(output, "As a page with a slider, for a browser, the same calls are")?;
    writeln!(output, "    cargo run -p learn -- sim --stage {which} --timeline tour.html --file learn/tour.txt\n")?;
    Tour::new(&mut heap, questions, output).run()?;
    Ok(heap)
}
