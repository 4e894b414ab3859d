//! Shows one milestone of the journal, or the production heap, at work on the process's own program break.
//!
//! All of them get the same calls. The heap is drawn after each, so that the tours can be compared call by call.
#![no_std]
#![no_main]

mod draw;
mod heaps;
mod named;
mod script;

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
use hmalloc_runtime::{Output, Process, STDOUT, Text, program, say};
use script::Tour;

const HELP: &str = "\
usage: tour 1 | 2 | 3 | 4 | 5 | heap

Shows a milestone of the journal at work: the same calls for each of them, and
after every call the heap. The last one is the production heap.

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
    let (which, more) = (arguments.next(), arguments.next());
    let mut output = Output::new(STDOUT);
    let known = match (which, more) {
        (Some(which), None) => show(which.to_bytes(), &mut output),
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
fn show(which: &[u8], output: &mut Output) -> Option<fmt::Result> {
    Some(match which {
        b"--help" | b"-h" => output.write_str(HELP),
        b"1" => tour("Milestone 1: a heap at all", Milestone(Minimal::new(Linux)), output).map(|_| ()),
        b"2" => tour("Milestone 2: aligned payloads", Milestone(Aligned::new(Linux)), output).map(|_| ()),
        b"3" => tour("Milestone 3: a list of headers", Milestone(Linked::new(Linux)), output).map(|_| ()),
        b"4" => tour("Milestone 4: splitting and trimming", Milestone(Splitting::new(Linux)), output).map(|_| ()),
        b"5" => tour("Milestone 5: free neighbours are joined", Milestone(Coalescing::new(Linux)), output).map(|_| ()),
        b"heap" => tour("The production heap", Heap::new(Linux), output).and_then(|heap| {
            writeln!(output)?;
            show_heap(&heap, output)
        }),
        _ => return None,
    })
}

fn tour<H: Shown>(title: &str, mut heap: H, output: &mut Output) -> Result<H, fmt::Error> {
    writeln!(output, "{title}\n")?;
    Tour::new(&mut heap, output).run()?;
    Ok(heap)
}
