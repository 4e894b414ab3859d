//! A script of calls, as one writes it: `a=malloc(24) b=malloc(100) free(a)`.
//!
//! ```text
//! a=malloc(24)      a block, and its name       free(a)       frees it       free(a+8), free(a-4), free(null)   wrong frees
//! a=calloc(2,8)     zero bytes                  refuse(raise), refuse(lower)   the kernel refuses from now on
//! a=realloc(a,90)   another size                allow()       and grants again     other(64)   somebody raises the break
//! break(5)          at the beginning: the break stands 5 bytes past a page         trim()      returns what is free
//! ```

use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// A call. Blocks are numbered in the order in which their names come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// So many bytes.
    Malloc(usize, usize),
    /// So many times so many zero bytes.
    Calloc(usize, usize, usize),
    /// Another size.
    Realloc(usize, usize),
    /// Frees what is so many bytes behind a payload.
    Free(usize, isize),
    /// Frees null.
    FreeNull,
    /// Raises are refused, or granted.
    RefuseRaises(bool),
    /// Lowering is refused, or granted.
    RefuseLowering(bool),
    /// Both are granted.
    Allow,
    /// Somebody else raises the break.
    Other(usize),
    /// Returns what is free.
    Trim,
}

/// Calls, the names of their blocks, and where the break stands at first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// The calls in order.
    pub calls: Vec<Call>,
    /// By number.
    pub names: Vec<String>,
    /// How many bytes past a page the break stands at first.
    pub offset: usize,
}

/// What is wrong with a script, and where: the column counts characters from 1, in this line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// In words.
    pub what: String,
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, what } = self;
        if *line == 1 {
            write!(f, "column {column}: {what}")
        } else {
            write!(f, "line {line}, column {column}: {what}")
        }
    }
}

impl std::error::Error for Wrong {}

/// Blocks that one script may name.
pub const MOST_NAMES: usize = 256;
/// Bytes past a page that the break may stand at first.
const MOST_OFFSET: usize = 65_535;

/// A name for the block of this number: `a` to `z`, then `a1` and so on.
#[must_use]
pub fn name(number: usize) -> String {
    let letter = char::from(b'a' + (number % 26) as u8);
    if number < 26 { letter.to_string() } else { format!("{letter}{}", number / 26) }
}

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

    /// A call in words.
    #[must_use]
    pub fn say(&self, call: Call) -> String {
        let name = |number: usize| self.names.get(number).cloned().unwrap_or_else(|| name(number));
        match call {
            Call::Malloc(block, size) => format!("{}=malloc({})", name(block), Size(size)),
            Call::Calloc(block, count, size) => format!("{}=calloc({},{})", name(block), Size(count), Size(size)),
            Call::Realloc(block, size) => format!("{0}=realloc({0},{1})", name(block), Size(size)),
            Call::Free(block, 0) => format!("free({})", name(block)),
            Call::Free(block, distance) => format!("free({}{distance:+})", name(block)),
            Call::FreeNull => "free(null)".into(),
            Call::RefuseRaises(true) => "refuse(raise)".into(),
            Call::RefuseLowering(true) => "refuse(lower)".into(),
            Call::RefuseRaises(false) | Call::RefuseLowering(false) | Call::Allow => "allow()".into(),
            Call::Other(bytes) => format!("other({bytes})"),
            Call::Trim => "trim()".into(),
        }
    }

    /// The script as the program that plays it reads it.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut text = format!("n {}\n", self.offset);
        for &call in &self.calls {
            text += &match call {
                // Sizes above the largest signed number are written as negative ones.
                Call::Malloc(block, size) => format!("m {block} {}\n", size.cast_signed()),
                Call::Calloc(block, count, size) => {
                    format!("c {block} {} {}\n", count.cast_signed(), size.cast_signed())
                }
                Call::Realloc(block, size) => format!("r {block} {}\n", size.cast_signed()),
                Call::Free(block, distance) => format!("f {block} {distance}\n"),
                Call::FreeNull => "z\n".into(),
                Call::RefuseRaises(refuse) => format!("R {}\n", u8::from(refuse)),
                Call::RefuseLowering(refuse) => format!("L {}\n", u8::from(refuse)),
                Call::Allow => "A\n".into(),
                Call::Other(bytes) => format!("o {bytes}\n"),
                Call::Trim => "t\n".into(),
            };
        }
        text
    }
}

impl Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = (self.offset > 0).then(|| format!("break({})", self.offset));
        let calls = self.calls.iter().map(|&call| self.say(call));
        f.write_str(&offset.into_iter().chain(calls).collect::<Vec<_>>().join(" "))
    }
}

/// A size: the largest ones from the top, as one thinks of them.
struct Size(usize);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::MAX - self.0 {
            0 => f.write_str("max"),
            less @ 1..=4096 => write!(f, "max-{less}"),
            _ => write!(f, "{}", self.0),
        }
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
