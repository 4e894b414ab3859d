//! A script of calls, as one writes it: `a=malloc(24) b=malloc(100) free(a)`.
//!
//! ```text
//! a=malloc(24)      a block, and its name       free(a)       frees it       free(a+8), free(a-4), free(null)   wrong frees
//! a=calloc(2,8)     zero bytes                  refuse(raise), refuse(lower)   the kernel refuses from now on
//! a=realloc(a,90)   another size                allow()       and grants again     other(64)   somebody raises the break
//! break(5)          at the beginning: the break stands 5 bytes past a page         trim()      returns what is free
//! ```

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

/// A name for the block of this number: `a` to `z`, then `a1` and so on.
#[must_use]
pub fn name(number: usize) -> String {
    let letter = char::from(b'a' + (number % 26) as u8);
    if number < 26 { letter.to_string() } else { format!("{letter}{}", number / 26) }
}

impl Script {
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
