//! Reads a script, and says in which column something is wrong with it.

use crate::script::{Call, MOST_NAMES, Script, Wrong};
use std::collections::BTreeMap;

/// Bytes past a page that the break may stand at first.
const MOST_OFFSET: usize = 65_535;

impl Script {
    /// Reads a script. `#` begins a comment.
    ///
    /// # Errors
    ///
    /// What is wrong, and in which column.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let (mut script, mut known) = (Self::default(), Known::default());
        for (line, text) in (1..).zip(text.lines()) {
            let code: Vec<char> = text.chars().take_while(|&sign| sign != '#').collect();
            let mut reader = Reader { code: &code, at: 0, line };
            loop {
                reader.spaces(";");
                if reader.at == code.len() {
                    break;
                }
                reader.call(&mut script, &mut known)?;
            }
        }
        Ok(script)
    }
}

/// The names so far.
#[derive(Default)]
struct Known {
    numbers: BTreeMap<String, usize>,
    /// Which of them are live.
    live: Vec<bool>,
}

struct Reader<'c> {
    code: &'c [char],
    at: usize,
    line: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, at: usize, what: impl Into<String>) -> Result<T, Wrong> {
        Err(Wrong { line: self.line, column: at + 1, what: what.into() })
    }

    fn spaces(&mut self, also: &str) {
        while self.code.get(self.at).is_some_and(|&sign| sign.is_whitespace() || also.contains(sign)) {
            self.at += 1;
        }
    }

    fn word(&mut self) -> (usize, String) {
        self.spaces("");
        let from = self.at;
        while self.code.get(self.at).is_some_and(|sign| sign.is_ascii_alphanumeric() || *sign == '_') {
            self.at += 1;
        }
        (from, self.code[from..self.at].iter().collect())
    }

    fn sign(&mut self, wanted: char) -> Result<(), Wrong> {
        self.spaces("");
        if self.code.get(self.at) == Some(&wanted) {
            self.at += 1;
            return Ok(());
        }
        let found = self.code.get(self.at).map_or("the line ends".into(), |sign| format!("there is {sign:?}"));
        self.wrong(self.at, format!("{wanted:?} is wanted, and {found}"))
    }

    fn is_next(&mut self, sign: char) -> bool {
        self.spaces("");
        let next = self.code.get(self.at) == Some(&sign);
        self.at += usize::from(next);
        next
    }

    /// A number of bytes: `24`, `4k`, `1m`, `max`, `max-15`.
    fn size(&mut self) -> Result<usize, Wrong> {
        let (from, word) = self.word();
        if word == "max" {
            let less = if self.is_next('-') { self.size()? } else { 0 };
            return Ok(usize::MAX - less);
        }
        let (digits, unit) = match word.strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1 << 10),
            None => word.strip_suffix(['m', 'M']).map_or((&*word, 1), |digits| (digits, 1 << 20)),
        };
        match digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit)) {
            Some(bytes) => Ok(bytes),
            None if word.is_empty() => self.wrong(from, "a number of bytes is wanted"),
            None => self.wrong(from, format!("{word} is no number of bytes")),
        }
    }

    fn call(&mut self, script: &mut Script, known: &mut Known) -> Result<(), Wrong> {
        let (from, word) = self.word();
        if word.is_empty() {
            let sign = self.code.get(self.at).copied().unwrap_or(' ');
            return self.wrong(from, format!("a call is wanted, and there is {sign:?}"));
        }
        let call = if self.is_next('=') {
            self.named(from, word, script, known)?
        } else {
            self.sign('(')?;
            let call = self.unnamed(from, &word, script, known)?;
            self.sign(')')?;
            call
        };
        script.calls.extend(call);
        Ok(())
    }

    fn named(
        &mut self,
        from: usize,
        name: String,
        script: &mut Script,
        known: &mut Known,
    ) -> Result<Option<Call>, Wrong> {
        if !name.starts_with(|sign: char| sign.is_ascii_alphabetic()) || name == "null" {
            return self.wrong(from, format!("{name} is no name for a block: a letter comes first"));
        }
        let (function_from, function) = self.word();
        self.sign('(')?;
        if function == "realloc" {
            let (old_from, old) = self.word();
            let block = self.block(old_from, &old, known)?;
            if old != name {
                return self.wrong(old_from, format!("the block keeps its name here: {name}=realloc({name},...)"));
            }
            self.sign(',')?;
            let size = self.size()?;
            self.sign(')')?;
            known.live[block] = size > 0;
            return Ok(Some(Call::Realloc(block, size)));
        }
        if known.numbers.get(&name).is_some_and(|&block| known.live[block]) {
            return self.wrong(from, format!("{name} is live: free it first, or take another name"));
        }
        let arguments = match &*function {
            "malloc" => (self.size()?, None),
            "calloc" => {
                let count = self.size()?;
                self.sign(',')?;
                (count, Some(self.size()?))
            }
            _ => {
                return self
                    .wrong(function_from, format!("{function:?} gives no block: malloc, calloc and realloc do"));
            }
        };
        self.sign(')')?;
        let block = *known.numbers.entry(name.clone()).or_insert(known.live.len());
        if block == MOST_NAMES {
            return self.wrong(from, format!("more than {MOST_NAMES} names"));
        }
        if block == known.live.len() {
            known.live.push(true);
            script.names.push(name);
        }
        known.live[block] = true;
        Ok(Some(match arguments {
            (size, None) => Call::Malloc(block, size),
            (count, Some(size)) => Call::Calloc(block, count, size),
        }))
    }

    fn block(&self, from: usize, name: &str, known: &Known) -> Result<usize, Wrong> {
        let found = known.numbers.get(name).copied();
        found.map_or_else(|| self.wrong(from, format!("there is no block {name:?} yet")), Ok)
    }

    fn unnamed(
        &mut self,
        from: usize,
        call: &str,
        script: &mut Script,
        known: &mut Known,
    ) -> Result<Option<Call>, Wrong> {
        Ok(Some(match call {
            "free" => return self.free(known).map(Some),
            "refuse" => match self.word() {
                (_, which) if which == "raise" => Call::RefuseRaises(true),
                (_, which) if which == "lower" => Call::RefuseLowering(true),
                (at, _) => return self.wrong(at, "refuse what? raise or lower"),
            },
            "allow" => Call::Allow,
            "other" => Call::Other(self.size()?),
            "trim" => Call::Trim,
            "break" if script.calls.is_empty() => {
                let at = self.at;
                script.offset = self.size()?;
                if script.offset > MOST_OFFSET {
                    return self.wrong(at, format!("at most {MOST_OFFSET} bytes past a page"));
                }
                return Ok(None);
            }
            "break" => return self.wrong(from, "break stands before all calls"),
            "malloc" | "calloc" | "realloc" => return self.wrong(from, format!("name the block: a={call}(...)")),
            _ => return self.wrong(from, format!("there is no call {call:?}")),
        }))
    }

    fn free(&mut self, known: &mut Known) -> Result<Call, Wrong> {
        let (from, name) = self.word();
        if name == "null" {
            return Ok(Call::FreeNull);
        }
        let block = self.block(from, &name, known)?;
        let sign = if self.is_next('+') {
            1
        } else if self.is_next('-') {
            -1
        } else {
            0
        };
        let distance = if sign == 0 { 0 } else { self.size()?.cast_signed().saturating_mul(sign) };
        known.live[block] &= distance != 0;
        Ok(Call::Free(block, distance))
    }
}
