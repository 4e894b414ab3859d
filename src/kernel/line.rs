//! One line of text on the stack: what a report of a misuse is written with, without allocating. The formatting that
//! `core` has would do the same, and add some 4 KiB to a program that formats nothing else.

use core::fmt;

/// As long as any line of this crate.
pub(crate) type Line = Text<320>;

/// A text on the stack. What does not fit is left out.
pub struct Text<const MAX: usize> {
    bytes: [u8; MAX],
    length: usize,
}

impl<const MAX: usize> Text<MAX> {
    /// An empty text.
    pub const fn new() -> Self {
        Self { bytes: [0; MAX], length: 0 }
    }

    /// Makes the text empty again.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    fn byte(&mut self, byte: u8) {
        if let Some(next) = self.bytes.get_mut(self.length) {
            *next = byte;
            self.length += 1;
        }
    }

    /// Appends bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.byte(byte));
    }

    /// Appends a byte; another character in the place of one that a terminal might obey.
    #[inline(never)]
    pub(crate) fn printable(&mut self, byte: u8) {
        self.byte(if (b' '..=b'~').contains(&byte) { byte } else { b'?' });
    }

    /// Appends text. Out of line, as it is called for every piece.
    #[inline(never)]
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        text.bytes().for_each(|byte| self.byte(byte));
        self
    }

    /// Appends a number in decimal digits.
    pub(crate) fn decimal(&mut self, number: usize) -> &mut Self {
        self.number(number, 10)
    }

    /// Appends an address: `0x` and hexadecimal digits.
    pub(crate) fn address(&mut self, address: usize) -> &mut Self {
        self.text("0x").number(address, 16)
    }

    #[inline(never)]
    fn number(&mut self, number: usize, radix: usize) -> &mut Self {
        let mut digit_value = 1;
        while number / digit_value >= radix {
            digit_value *= radix;
        }
        while digit_value > 0 {
            let digit = (number / digit_value % radix) as u8;
            self.byte(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
            digit_value /= radix;
        }
        self
    }

    /// Appends a newline. Without room for it, it replaces the last byte.
    pub fn end_line(&mut self) {
        self.length = self.length.min(MAX - 1);
        self.byte(b'\n');
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Empty if a character was cut in two at the end.
    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl<const MAX: usize> Default for Text<MAX> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// For what formats anyway: the C libraries' reports.
impl<const MAX: usize> fmt::Write for Text<MAX> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

on_linux! {
    /// Hands a text on line by line. A line that is too long is cut.
    pub(crate) struct Lines<F, E> {
        line: Text<SAID>,
        each: F,
        /// What went wrong first. Nothing is handed on after it.
        result: Result<(), E>,
    }

    impl<F: FnMut(&str) -> Result<(), E>, E> Lines<F, E> {
        pub(crate) const fn new(each: F) -> Self {
            Self { line: Text::new(), each, result: Ok(()) }
        }

        /// Hands the line on that was begun.
        fn end(&mut self) {
            let line = core::mem::take(&mut self.line);
            if self.result.is_ok() {
                self.result = (self.each)(line.as_str());
            }
        }

        /// Whether all lines could be handed on. What stands behind the last newline is left out.
        pub(crate) fn finish(self) -> Result<(), E> {
            self.result
        }
    }

    impl<F: FnMut(&str) -> Result<(), E>, E> fmt::Write for Lines<F, E> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let mut pieces = text.split('\n');
            self.line.text(pieces.next().unwrap_or_default());
            for piece in pieces {
                self.end();
                self.line.text(piece);
            }
            if self.result.is_ok() { Ok(()) } else { Err(fmt::Error) }
        }
    }

    /// The longest line that [`say`] writes, with its newline.
    const SAID: usize = 512;

    /// Writes `hmalloc: TEXT` and a newline to a descriptor: the form in which the crate reports a misuse, for those who format.
    ///
    /// # Errors
    ///
    /// As for [`write_line`](crate::process::write_line).
    pub fn say(descriptor: i32, text: fmt::Arguments<'_>) -> Result<(), crate::kernel::call::Errno> {
        let mut line = Text::<SAID>::new();
        let _ = fmt::Write::write_fmt(&mut line, format_args!("hmalloc: {text}"));
        line.end_line();
        crate::kernel::sys::write_line(descriptor, line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn numbers_are_written_as_core_writes_them() {
        let powers = (0..64).flat_map(|shift| [(1_u64 << shift) - 1, 1 << shift, (1 << shift) + 1]);
        let tens = (0..20).map(|power| 10_u64.pow(power)).flat_map(|ten| [ten - 1, ten]);
        for number in powers.chain(tens).chain([u64::MAX]).filter_map(|number| usize::try_from(number).ok()) {
            let mut line = Line::new();
            line.decimal(number).text(" ").address(number);
            assert_eq!(line.as_str(), format!("{number} {number:#x}"));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut line = Line::new();
        for _ in 0..100 {
            line.text("eight by");
        }
        assert_eq!(line.as_str(), "eight by".repeat(320 / 8));
    }

    #[test]
    fn a_newline_always_fits() {
        let mut text = Text::<4>::new();
        text.text("abc").end_line();
        assert_eq!(text.as_str(), "abc\n");
        text.end_line();
        assert_eq!(text.as_str(), "abc\n");
    }
}
