//! What was seen of a script that was played, and how its process ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

/// How a process ends at a gap; `learn_heap` says the same.
const UNFINISHED: i32 = 3;
/// The process took too much time: by the processor's clock, or by that on the wall.
const TOO_LONG: [i32; 2] = [27, 14];

/// A block of a heap's own walk. Addresses are distances from where the break stood at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where the header begins.
    pub header: isize,
    /// Where the payload begins.
    pub payload: isize,
    /// Bytes of the payload.
    pub size: usize,
    /// Whether it is free.
    pub free: bool,
}

/// What was seen of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The payload, for calls that give one; `None` for null.
    pub payload: Option<isize>,
    /// Where the break stands afterwards.
    pub brk: isize,
    /// What the heap said of a wrong pointer.
    pub said: String,
    /// A resized block has not kept its bytes, or zero bytes are none.
    pub lost: bool,
    /// Live blocks whose bytes are not what was written there.
    pub damaged: Vec<usize>,
    /// The heap's own walk, where it was asked for.
    pub rows: Vec<Row>,
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All was played.
    Whole,
    /// A gap was reached: its place, and what it asks for.
    Gap(String),
    /// It was still at work long after others were ready.
    Hung,
    /// A signal.
    Died(i32),
    /// Anything else, in its own words.
    Failed(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("all was played"),
            Self::Gap(what) => write!(f, "not written yet: {what}"),
            Self::Hung => f.write_str("it did not come back in time: a loop without an end, or far too slow"),
            Self::Died(signal) => write!(f, "the process died of {}", signal_name(*signal)),
            Self::Failed(what) => f.write_str(what),
        }
    }
}

/// The usual name of a signal.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    match signal {
        4 => "SIGILL".into(),
        6 => "SIGABRT".into(),
        7 => "SIGBUS".into(),
        8 => "SIGFPE".into(),
        11 => "SIGSEGV".into(),
        too_long if TOO_LONG.contains(&too_long) => "too much time".into(),
        other => format!("signal {other}"),
    }
}

/// How a process ended that has a script to play. One that ends well has played all of it, and says so.
#[must_use]
pub fn end_of_script(output: &Output) -> End {
    let all = String::from_utf8_lossy(&output.stdout).lines().any(|line| line == "end");
    match end(output) {
        End::Whole if !all => End::Failed("the process ended in the middle of the script, as if all were well".into()),
        end => end,
    }
}

/// A script that was played, as far as it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// Bytes of a header.
    pub header: usize,
    /// For each call that came back.
    pub steps: Vec<Seen>,
    /// How it ended.
    pub end: End,
    /// What the heap's own code wrote on standard error.
    pub written: String,
}

/// How a process ended.
#[must_use]
pub fn end(output: &Output) -> End {
    let said = String::from_utf8_lossy(&output.stderr);
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => End::Whole,
        (Some(UNFINISHED), _) => End::Gap(said.trim().trim_start_matches("gap ").to_owned()),
        (_, Some(signal)) if TOO_LONG.contains(&signal) => End::Hung,
        (_, Some(signal)) if said.trim().is_empty() || signal != 6 => End::Died(signal),
        _ => End::Failed(said.trim().to_owned()),
    }
}

impl Played {
    pub(crate) fn read(output: &Output) -> Self {
        let written = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut played = Self { header: 0, steps: Vec::new(), end: end_of_script(output), written };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match (&words[..], played.steps.last_mut()) {
                (["n", header], _) => played.header = header.parse().unwrap_or(0),
                (["=", answer, brk, more @ ..], _) => played.steps.push(Seen {
                    payload: answer.parse().ok(),
                    brk: brk.parse().unwrap_or(0),
                    lost: more.contains(&"lost"),
                    said: more.iter().filter(|word| **word != "lost").copied().collect::<Vec<_>>().join(" "),
                    ..Seen::default()
                }),
                (["x", block], Some(seen)) => seen.damaged.extend(block.parse::<usize>().ok()),
                (["b", header, payload, size, free], Some(seen)) => seen.rows.push(Row {
                    header: header.parse().unwrap_or(0),
                    payload: payload.parse().unwrap_or(0),
                    size: size.parse().unwrap_or(0),
                    free: *free == "1",
                }),
                _ => {}
            }
        }
        played
    }
}
