//! The table: the learner's heap beside others.

use super::Grader;
use super::figures::{Figure, figure, find, system};
use super::machines::{Outcome, Ready, as_here, machines};
use super::misuse::{MISUSES, score};
use super::peers::{Peer, peers};
use super::traces::{CALLS, TRACES, read};
use std::io::{self, Write};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// What is missing, and for which machines.
type Missing = Vec<(String, Vec<String>)>;

/// A row of it.
struct Measured {
    misuse: Result<usize, String>,
    figures: Vec<Result<Figure, String>>,
    survived: Option<usize>,
    deaths: Vec<String>,
}

impl Grader<'_> {
    /// Measures all peers, and writes the table.
    pub(super) fn table(&self, output: &mut dyn Write) -> io::Result<()> {
        let (ready, missing) = self.ready(output)?;
        let peers = peers(&self.heap);
        let rows = by_two(&peers, |peer| self.row(peer, &ready));
        write!(output, "\n{:<22} misuse  machines  utilisation in %          instructions per call\n{:<22}", "", "")?;
        write!(output, " of {}    of {:<5}  ", MISUSES.len(), ready.len())?;
        for name in TRACES.into_iter().chain(TRACES) {
            write!(output, "{name:>7}")?;
        }
        writeln!(output)?;
        for (peer, row) in peers.iter().zip(&rows) {
            line(peer, row, output)?;
        }
        writeln!(
            output,
            "\nThe first {CALLS} calls of each trace in bench/traces. Utilisation: the most bytes that were asked for, of the \
             most\nthat were taken from the kernel. Instructions: with those of the replay, some ten a call. Misuse: after so \
             many of\nsix wrong frees the program went on and the heap was as before. Machines: of those that can be run here."
        )?;
        for (peer, row) in peers.iter().zip(&rows) {
            for death in &row.deaths {
                writeln!(output, "{}: {death}", peer.title)?;
            }
            let failures =
                row.figures.iter().zip(TRACES).filter_map(|(figure, name)| Some((name, figure.as_ref().err()?)));
            for (name, what) in failures {
                writeln!(output, "{}, {name}: {what}", peer.title)?;
            }
        }
        if find("valgrind").is_none() {
            writeln!(output, "\nNot graded: instructions. valgrind is missing (Debian: apt-get install valgrind).")?;
        }
        not_graded(&missing, output)
    }

    /// Whether a slab answers on all machines as on this one. True if something is wrong.
    pub(super) fn elsewhere(&self, output: &mut dyn Write) -> io::Result<bool> {
        let (ready, missing) = self.ready(output)?;
        let answers = by_two(&ready, |program| as_here(program, self.workshop, &self.heap));
        for (program, answer) in ready.iter().zip(&answers) {
            if let Err(what) = answer {
                writeln!(output, "{}: {what}", program.machine.name)?;
            }
        }
        let same = answers.iter().filter(|answer| answer.is_ok()).count();
        writeln!(output, "machines: {same} of {} answer as this one does", ready.len())?;
        not_graded(&missing, output)?;
        Ok(same < ready.len())
    }

    /// The machines that can be run here; and what is missing for the others, with their names.
    fn ready(&self, output: &mut dyn Write) -> io::Result<(Vec<Ready>, Missing)> {
        writeln!(output, "\nbuilding it for the other machines, which takes a minute or two the first time ...")?;
        let (mut ready, mut missing): (Vec<Ready>, Missing) = (Vec::new(), Vec::new());
        let machines = machines().unwrap_or_default();
        for (machine, program) in machines.iter().zip(by_two(&machines, |machine| machine.ready(self.workshop))) {
            match program {
                Ok(program) => ready.push(program),
                Err(what) => match missing.iter_mut().find(|(other, _)| *other == what) {
                    Some((_, names)) => names.push(machine.name.clone()),
                    None => missing.push((what, vec![machine.name.clone()])),
                },
            }
        }
        Ok((ready, missing))
    }

    fn row(&self, peer: &Peer, ready: &[Ready]) -> Measured {
        let heap = peer.heap.as_deref();
        let misuse = match heap {
            Some(heap) => score(self.workshop, heap),
            None => self.misuse_of_system(),
        };
        let figures = TRACES.map(|name| figure(self.workshop, heap, name, &read(name)?)).into();
        let (mut survived, mut deaths) = (0, Vec::new());
        for program in ready.iter().filter(|_| heap.is_some()) {
            match program.outcome(heap.unwrap_or_default()) {
                Ok(Outcome::Survived) => survived += 1,
                Ok(Outcome::Died(how)) => deaths.push(format!("{}: {how}", program.machine.name)),
                Err(what) => deaths.push(format!("{}: {what}", program.machine.name)),
            }
        }
        Measured { misuse, figures, survived: heap.map(|_| survived), deaths }
    }

    fn misuse_of_system(&self) -> Result<usize, String> {
        let program = system(self.workshop)?;
        let kept = |number: &usize| {
            let output = Command::new(&program).args(["misuse", &number.to_string()]).output();
            output.is_ok_and(|output| output.status.success())
        };
        Ok((0..MISUSES.len()).filter(kept).count())
    }
}

fn not_graded(missing: &Missing, output: &mut dyn Write) -> io::Result<()> {
    missing.iter().try_for_each(|(what, names)| writeln!(output, "\nNot graded on {}: {what}", names.join(", ")))
}

/// What `work` makes of each, two at a time.
fn by_two<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (Mutex::new(0..all.len()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(index) = next.lock().ok().and_then(|mut next| next.next()) {
                    let result = work(&all[index]);
                    if let Ok(mut done) = done.lock() {
                        done.push((index, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn line(peer: &Peer, row: &Measured, output: &mut dyn Write) -> io::Result<()> {
    let cell = |number: Option<usize>| number.map_or("-".to_owned(), |number| number.to_string());
    let misuse = cell(row.misuse.as_ref().ok().copied());
    write!(output, "{:<22} {misuse:>4}    {:>5}    ", peer.title, cell(row.survived))?;
    let figure = |index: usize| row.figures[index].as_ref().ok().copied().unwrap_or_default();
    for index in 0..TRACES.len() {
        write!(output, "{:>7}", cell(figure(index).utilisation))?;
    }
    for index in 0..TRACES.len() {
        write!(output, "{:>7}", cell(figure(index).instructions))?;
    }
    writeln!(output)
}
