//! The command line.

use core::ffi::CStr;
use core::fmt;
use hmalloc_runtime::Text;

/// The file that is read when none is named.
pub(crate) const DEFAULT: &CStr = c"README.md";

pub(crate) const HELP: &str = "\
usage: words [--top N] [--quiet] [FILE | -]

Counts the words of FILE (README.md by default) or of standard input (-), and
prints the most frequent as lines COUNT WORD. Then it shows its heap.

  --top N   how many words to print (20)
  --quiet   leave the heap out
  --help    print this

A word is a run of alphanumeric characters, lower-cased. Bytes that are not
UTF-8 separate words; how many there were is said on standard error.
";

pub(crate) enum Request {
    Help,
    Count(Options),
}

pub(crate) struct Options {
    pub(crate) top: usize,
    pub(crate) quiet: bool,
    pub(crate) input: Input,
}

pub(crate) enum Input {
    Default,
    Standard,
    Named(&'static CStr),
}

impl Input {
    /// Its name in messages.
    pub(crate) fn name(&self) -> &CStr {
        match self {
            Self::Default => DEFAULT,
            Self::Standard => c"standard input",
            Self::Named(path) => path,
        }
    }
}

pub(crate) enum BadArgument {
    NoNumber,
    NotANumber(&'static CStr),
    Unknown(&'static CStr),
    SecondFile(&'static CStr),
}

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber => f.write_str("--top needs a number"),
            Self::NotANumber(text) => write!(f, "--top needs a number, not \"{}\"", Text(text)),
            Self::Unknown(text) => write!(f, "unknown option \"{}\"", Text(text)),
            Self::SecondFile(text) => write!(f, "one file at a time: \"{}\" is a second", Text(text)),
        }
    }
}

pub(crate) fn parse(mut arguments: impl Iterator<Item = &'static CStr>) -> Result<Request, BadArgument> {
    let mut options = Options { top: 20, quiet: false, input: Input::Default };
    let mut only_files = false;
    while let Some(argument) = arguments.next() {
        let bytes = argument.to_bytes();
        match bytes {
            b"-" if !only_files => set_input(&mut options, Input::Standard, argument)?,
            b"--" if !only_files => only_files = true,
            b"--help" | b"-h" if !only_files => return Ok(Request::Help),
            b"--quiet" if !only_files => options.quiet = true,
            b"--top" if !only_files => options.top = number(arguments.next().ok_or(BadArgument::NoNumber)?)?,
            [b'-', ..] if !only_files => return Err(BadArgument::Unknown(argument)),
            _ => set_input(&mut options, Input::Named(argument), argument)?,
        }
    }
    Ok(Request::Count(options))
}

fn set_input(options: &mut Options, input: Input, argument: &'static CStr) -> Result<(), BadArgument> {
    if !matches!(options.input, Input::Default) {
        return Err(BadArgument::SecondFile(argument));
    }
    options.input = input;
    Ok(())
}

fn number(text: &'static CStr) -> Result<usize, BadArgument> {
    text.to_str().ok().and_then(|text| text.parse().ok()).ok_or(BadArgument::NotANumber(text))
}
