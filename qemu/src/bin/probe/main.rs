//! The probe of the matrix: what one architecture does with misaligned words, and how the heaps work on it.
//!
//! Each run asks one question, because the process may die of it.
#![no_std]
#![no_main]
#![cfg_attr(
    any(target_arch = "mips", target_arch = "mips64", target_arch = "powerpc", target_arch = "powerpc64"),
    feature(asm_experimental_arch)
)]

mod access;
mod alignment;
mod blocks;
mod clone;
mod director;
mod killed;
mod moves;
mod pointer;
mod report;
mod requests;
mod selfcheck;
mod steps;
mod storm;
mod threads;
mod tiers;

use access::Access;
use core::fmt::Write;
use hmalloc::Hmalloc;
use hmalloc_runtime::{Output, Process, STDOUT, abort, program, say};

program!(main);

const USAGE: &str = "\
usage: probe control load|store|atomic   a misaligned word without any heap
       probe stage1 load|store|atomic    a misaligned payload of stage 1
       probe aligned                     payloads of stages 2 to 5 and of the production heap
       probe selfcheck                   the production heap on the real break
       probe threads                     the production heap under four threads
       probe storm                       the same, with resizes, batches, thread pointers and tiers of their own
       probe killed [TIMES]              tasks are killed while they use the production heap, and others go on
       probe report                      lines to a broken and to a full pipe
       probe abort                       death by SIGABRT
       probe source                      where the production heap's memory comes from, unless told otherwise
";

fn main(process: Process) -> i32 {
    let mut arguments = process.arguments().skip(1).map(|argument| argument.to_bytes());
    let (mode, second) = (arguments.next().unwrap_or_default(), arguments.next());
    let access = second.and_then(Access::named);
    let mut output = Output::new(STDOUT);
    let answer = match (mode, access) {
        (b"control", Some(access)) => alignment::control(access, &mut output),
        (b"stage1", Some(access)) => alignment::minimal(access, &mut output),
        (b"aligned", None) => alignment::aligned(&mut output),
        (b"selfcheck", None) => selfcheck::run(&mut output),
        (b"threads", None) => threads::run(&mut output),
        (b"storm", None) => storm::run(&mut output),
        (b"killed", None) => killed::run(second.and_then(number).unwrap_or(500), &mut output),
        (b"report", None) => report::run(),
        (b"abort", None) => abort(),
        (b"source", None) => {
            let _ = writeln!(output, "{:?}", Hmalloc::new().stats().source);
            Ok(())
        }
        _ => {
            say(format_args!("{USAGE}"));
            return 2;
        }
    };
    match &answer {
        Ok(()) => drop(writeln!(output, "survived")),
        Err(failure) => drop(writeln!(output, "FAILED: {failure}")),
    }
    i32::from(output.flush().is_err() || answer.is_err())
}

/// A number in decimal.
fn number(text: &[u8]) -> Option<usize> {
    core::str::from_utf8(text).ok()?.parse().ok()
}
