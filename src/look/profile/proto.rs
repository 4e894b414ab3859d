//! Messages in the wire format of protocol buffers: a number and its type before each field, lengths before what is nested.

/// The longest message that is nested: a sample with 64 places of 5 bytes and four numbers of 10, with room.
const NESTED_MAX: usize = 512;

/// A message as it is being put together. What does not fit is left out, and makes it [broken](Self::is_whole).
#[derive(Debug)]
pub(super) struct Message {
    bytes: [u8; NESTED_MAX],
    length: usize,
    whole: bool,
}

/// Bytes of a number of variable length.
const VARINT_MAX: usize = 10;
const BYTES: u64 = 2;

/// A number in 7 bits a byte, the lowest first.
pub(super) fn varint(mut number: u64) -> ([u8; VARINT_MAX], usize) {
    let (mut bytes, mut length) = ([0; VARINT_MAX], 0);
    loop {
        bytes[length] = (number & 0x7f) as u8 | if number > 0x7f { 0x80 } else { 0 };
        length += 1;
        number >>= 7;
        if number == 0 {
            return (bytes, length);
        }
    }
}

impl Message {
    pub(super) fn new() -> Self {
        Self { bytes: [0; NESTED_MAX], length: 0, whole: true }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        match self.bytes.get_mut(self.length..self.length + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.whole = false,
        }
    }

    fn varint(&mut self, number: u64) {
        let (bytes, length) = varint(number);
        self.put(&bytes[..length]);
    }

    /// A field that is a number. Negative ones have all 64 bits.
    pub(super) fn number(&mut self, field: u64, number: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    /// A field that is bytes, or a message.
    pub(super) fn nested(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint(field << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.put(bytes);
        self
    }

    /// A field that is several numbers.
    pub(super) fn numbers(&mut self, field: u64, numbers: impl Iterator<Item = u64>) -> &mut Self {
        let mut packed = Self::new();
        numbers.for_each(|number| packed.varint(number));
        self.whole &= packed.whole;
        self.nested(field, packed.bytes())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Whether all that was put in is in it.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }
}

/// Writes a field of the outermost message, which is bytes or a message.
pub(super) fn write_field<E>(out: &mut impl FnMut(&[u8]) -> Result<(), E>, field: u64, bytes: &[u8]) -> Result<(), E> {
    let (mut head, (key, key_length)) = (Message::new(), varint(field << 3 | BYTES));
    head.put(&key[..key_length]);
    head.varint(bytes.len() as u64);
    out(head.bytes())?;
    out(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's description.
    #[test]
    fn fields_are_as_the_format_says() {
        assert_eq!(Message::new().number(1, 150).bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::new().nested(2, b"testing").bytes(), b"\x12\x07testing");
        let packed = [3, 270, 86_942];
        assert_eq!(Message::new().numbers(6, packed.into_iter()).bytes(), [0x32, 6, 3, 0x8e, 2, 0x9e, 0xa7, 5]);
        assert_eq!(Message::new().number(1, -2_i64 as u64).bytes().len(), 11);
        let mut long = Message::new();
        assert!(!long.nested(1, &[0; NESTED_MAX]).is_whole());
    }
}
