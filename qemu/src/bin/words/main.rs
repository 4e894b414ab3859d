//! Counts the words of a text without a libc, on hmalloc, and draws the heap.
#![no_std]
#![no_main]

extern crate alloc;

mod count;
mod options;

use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt::Write;
use count::Counter;
use hmalloc_qemu::show_heap;
use hmalloc_runtime::{Errno, File, Output, Process, STDIN, STDOUT, Text, program, say};
use options::{HELP, Input, Options, Request};

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

/// How many bytes are read at a time.
const PIECE: usize = 64 << 10;

program!(main);

fn main(process: Process) -> i32 {
    let result = match options::parse(process.arguments().skip(1)) {
        Ok(Request::Help) => print(|output| output.write_str(HELP)),
        Ok(Request::Count(options)) => run(&options),
        Err(bad) => {
            say(format_args!("words: {bad}\n{}\n", HELP.lines().next().unwrap_or_default()));
            Err(())
        }
    };
    i32::from(result.is_err())
}

/// Counts, prints, and draws the heap. Errors are reported on standard error.
fn run(options: &Options) -> Result<(), ()> {
    let counter = read(&options.input).map_err(|errno| complain(&options.input, errno))?;
    let (name, words) = (Text(options.input.name()), counter.words());
    if counter.invalid_bytes() > 0 {
        let bytes = counter.invalid_bytes();
        say(format_args!("words: {name}: note: invalid UTF-8 separates words here: {bytes} bytes of it\n"));
    }
    if words.is_empty() {
        say(format_args!("words: {name}: note: there are no words in it\n"));
    }
    let mut ranking: Vec<(&str, usize)> = words.iter().map(|(word, &count)| (word.as_str(), count)).collect();
    ranking.sort_unstable_by(|(word, count), (other, more)| more.cmp(count).then(word.cmp(other)));
    print(|output| {
        for (word, count) in ranking.iter().take(options.top) {
            writeln!(output, "{count} {word}")?;
        }
        if options.quiet {
            return Ok(());
        }
        writeln!(output)?;
        HEAP.inspect(|heap| show_heap(heap, output))
    })
}

/// Reads the input to its end, piece by piece: only the different words have to fit into memory.
fn read(input: &Input) -> Result<Counter, Errno> {
    let file = match input {
        Input::Standard => STDIN,
        Input::Default => File::open(options::DEFAULT)?,
        Input::Named(path) => File::open(path)?,
    };
    let mut counter = Counter::new();
    let mut buffer = [0; PIECE];
    let mut carried = 0;
    loop {
        let count = file.read(&mut buffer[carried..])?;
        if count == 0 {
            counter.finish(carried);
            return Ok(counter);
        }
        let end = carried + count;
        carried = counter.add(&buffer[..end]);
        buffer.copy_within(end - carried..end, 0);
    }
}

fn complain(input: &Input, errno: Errno) {
    match (input, errno) {
        (Input::Default, Errno::ENOENT) => {
            let path: &CStr = options::DEFAULT;
            say(format_args!(
                "words: there is no {} in this directory: name a FILE, or - for standard input\n",
                Text(path)
            ));
        }
        _ => say(format_args!("words: {}: {}\n", Text(input.name()), errno.description().unwrap_or("unknown error"))),
    }
}

/// Writes to standard output. An error is reported on standard error.
fn print(write: impl FnOnce(&mut Output) -> core::fmt::Result) -> Result<(), ()> {
    let mut output = Output::new(STDOUT);
    let _ = write(&mut output);
    output.flush().map_err(|errno| {
        say(format_args!("words: standard output: {}\n", errno.description().unwrap_or("unknown error")));
    })
}
