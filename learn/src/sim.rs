//! The simulator: a script of one's own on any heap, drawn call by call.

use crate::draw::{Known, draw, figures};
use crate::played::{End, Played, Seen};
use crate::script::{Call, Script};
use crate::timeline::timeline;
use crate::workshop::Workshop;
use hmalloc_timeline::page::{MOST_TIMELINES, page};
use hmalloc_timeline::timeline::Timeline;
use std::io::{self, Read, Write};

/// What a heap is called on the command line, in the program, and in words.
const HEAPS: [(&str, &str, &str); 7] = [
    ("1", "s1", "stage 1, minimal"),
    ("2", "s2", "stage 2, aligned"),
    ("3", "s3", "stage 3, linked"),
    ("4", "s4", "stage 4, splitting"),
    ("5", "s5", "stage 5, coalescing"),
    ("xv6", "xv6", "a first fit as in a teaching kernel"),
    ("heap", "heap", "the production heap"),
];

const USAGE: &str = "\
usage: sim [--stage 1|2|3|4|5|xv6|heap]... [--exercise N] [--brief]
           [--timeline OUT.html] 'SCRIPT' | --file FILE | -

Plays calls on a heap and draws it after each: # header, letters payload, . free,
| the break. Without --stage it is stage 5. --brief draws the last one only.
--timeline also writes a page with the heap over time, for a browser; two stages
stand there side by side.

  a=malloc(24)  a=calloc(2,8)  a=realloc(a,90)   free(a)  free(a+8)  free(null)
  refuse(raise)  refuse(lower)  allow()   other(64)   trim()   break(5) at first
";

/// Runs `sim` with its arguments. Returns the status.
///
/// # Errors
///
/// If the output cannot be written.
pub fn sim(workshop: &Workshop, arguments: &[&str], output: &mut dyn Write) -> io::Result<u8> {
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(what) => {
            write!(output, "sim: {what}\n{USAGE}")?;
            return Ok(1);
        }
    };
    let script = match Script::parse(&options.text) {
        Ok(script) => script,
        Err(wrong) => {
            let line = options.text.lines().nth(wrong.line - 1).unwrap_or("");
            writeln!(output, "sim: {wrong}\n  {line}\n  {:>1$}", '^', wrong.column)?;
            return Ok(1);
        }
    };
    let (mut status, mut timelines) = (0, Vec::new());
    for (number, heap) in options.heaps.iter().enumerate() {
        if number > 0 {
            writeln!(output)?;
        }
        match played(workshop, heap, &script, options.brief, output)? {
            Some((whole, timeline)) => {
                status |= whole;
                timelines.push(timeline);
            }
            None => return Ok(1),
        }
    }
    match &options.page {
        Some(path) => write_page(path, &timelines, output).map(|written| status | written),
        None => Ok(status),
    }
}

/// Plays a script on one heap, and shows it. The status and the timeline; `None` if it cannot be played.
fn played(
    workshop: &Workshop,
    heap: &Chosen,
    script: &Script,
    brief: bool,
    output: &mut dyn Write,
) -> io::Result<Option<(u8, Timeline)>> {
    let played = match workshop.play(&heap.name, script, true) {
        Ok(played) => played,
        Err(what) => return writeln!(output, "sim: {what}").map(|()| None),
    };
    if heap.needs_realloc() && script.calls.iter().any(|call| matches!(call, Call::Realloc(..) | Call::Calloc(..))) {
        return writeln!(output, "sim: calloc and realloc come with stage 5").map(|()| None);
    }
    writeln!(output, "{}. +0 is where the break stood at first.", heap.title)?;
    let status = show(script, &played, brief, output)?;
    Ok(Some((status, timeline(&heap.title, script, &played))))
}

/// Writes the page, and says where it is. Returns the status.
fn write_page(path: &str, timelines: &[Timeline], output: &mut dyn Write) -> io::Result<u8> {
    match std::fs::write(path, page(timelines)) {
        Ok(()) => writeln!(output, "\nthe heap over time is in {path}: open it in a browser").map(|()| 0),
        Err(error) => writeln!(output, "sim: {path}: {error}").map(|()| 1),
    }
}

/// A heap that was asked for.
struct Chosen {
    name: String,
    title: String,
}

impl Chosen {
    fn new(name: &str, title: &str) -> Self {
        Self { name: name.to_owned(), title: title.to_owned() }
    }

    /// Whether calloc and realloc are missing.
    fn needs_realloc(&self) -> bool {
        !["s5", "heap", "e5"].contains(&&*self.name)
    }
}

struct Options {
    heaps: Vec<Chosen>,
    text: String,
    brief: bool,
    /// Where the page is to be.
    page: Option<String>,
}

impl Options {
    fn read(arguments: &[&str]) -> Result<Self, String> {
        let (mut heaps, mut page) = (Vec::new(), None);
        let (mut text, mut brief, mut words) = (None, false, arguments.iter());
        while let Some(&word) = words.next() {
            let mut value = || words.next().copied().ok_or(format!("{word} needs a value"));
            match word {
                "--stage" => {
                    let which = value()?;
                    let found = HEAPS.iter().find(|(name, ..)| *name == which);
                    let (_, name, title) = found.ok_or(format!("there is no stage {which}"))?;
                    heaps.push(Chosen::new(name, title));
                }
                "--exercise" => {
                    let which = value()?;
                    if !["1", "2", "3", "4", "5"].contains(&which) {
                        return Err(format!("exercise {which} is no heap: 1 to 5 are"));
                    }
                    heaps.push(Chosen::new(&format!("e{which}"), &format!("your exercise {which}")));
                }
                "--brief" => brief = true,
                "--timeline" => page = Some(value()?.to_owned()),
                "--file" => text = Some(read_file(value()?)?),
                "-" => text = Some(read_input()?),
                _ if word.starts_with("--") => return Err(format!("there is no option {word}")),
                _ if text.is_some() => return Err("one script at a time: put it into quotes".into()),
                _ => text = Some(word.to_owned()),
            }
        }
        let text = text.ok_or("a script is missing")?;
        if heaps.len() > MOST_TIMELINES {
            return Err(format!("at most {MOST_TIMELINES} heaps at a time"));
        }
        if heaps.is_empty() {
            heaps.push(Chosen::new("s5", "stage 5, coalescing"));
        }
        Ok(Self { heaps, text, brief, page })
    }
}

fn read_file(file: &str) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))
}

fn read_input() -> Result<String, String> {
    let mut all = String::new();
    io::stdin().read_to_string(&mut all).map_err(|error| format!("standard input: {error}"))?;
    Ok(all)
}

/// What came of a call, in a few words.
#[must_use]
pub fn answer(call: Call, seen: &Seen) -> String {
    let gives = matches!(call, Call::Malloc(..) | Call::Calloc(..) | Call::Realloc(..));
    match (gives, seen.payload) {
        (true, Some(payload)) => format!("  ->  {payload:+}"),
        (true, None) => "  ->  null".into(),
        _ if matches!(call, Call::Trim) => {
            format!("  ->  {} bytes", if seen.said.is_empty() { "0" } else { &seen.said })
        }
        _ if seen.said.is_empty() => String::new(),
        _ => format!("  ->  {}", seen.said),
    }
}

fn show(script: &Script, played: &Played, brief: bool, output: &mut dyn Write) -> io::Result<u8> {
    let (mut known, mut brk) = (Known::default(), 0);
    for (number, (&call, seen)) in script.calls.iter().zip(&played.steps).enumerate() {
        known.note(call, seen);
        writeln!(output, "\n{:>2}. {}{}", number + 1, script.say(call), answer(call, seen))?;
        if !brief || number + 1 == played.steps.len() {
            draw(script, &known, seen, output)?;
        }
        if seen.brk != brk {
            let way = if seen.brk > brk { "raised" } else { "lowered" };
            writeln!(output, "    * the break was {way} by {} bytes", brk.abs_diff(seen.brk))?;
        }
        brk = seen.brk;
        if seen.rows.iter().any(|row| row.payload.saturating_add_unsigned(row.size) > seen.brk) {
            writeln!(
                output,
                "    ! a header says that its block reaches beyond the break: something was written over it"
            )?;
        }
        for &block in &seen.damaged {
            let name = script.names.get(block).map_or("?", String::as_str);
            writeln!(output, "    ! bytes of {name} were written by this call, or it shares them with another block")?;
        }
        if seen.lost {
            writeln!(output, "    ! the block does not hold what it should")?;
        }
    }
    if played.end == End::Whole {
        if !played.written.trim().is_empty() {
            writeln!(output, "\nthe heap wrote:\n{}", played.written.trim_end())?;
        }
        if let Some(seen) = played.steps.last() {
            figures(&known, seen, output)?;
        }
        return Ok(0);
    }
    let call = script.calls.get(played.steps.len()).map_or(String::new(), |&call| script.say(call));
    writeln!(output, "\n{:>2}. {call}\n    ! {}", played.steps.len() + 1, played.end)?;
    Ok(1)
}
