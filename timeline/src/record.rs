//! What the recorder wrote, as calls: addresses become numbers of blocks.
//!
//! `bench/recorder/src/raw.rs` draws the file: a header of 64 bytes, then 32 bytes for each call, in the machine's byte order. A
//! record whose kind is 0 has not been written, and is the end: so a record is whole however its process ended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// The first bytes of a file, with the format's version.
const MAGIC: [u8; 8] = *b"hmalraw\x01";
const HEADER: usize = 64;
const RECORD: usize = 32;

/// A call of the program, in which a block is called by its number: how many blocks there were before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A request for `size` bytes at a multiple of 2 to the power of `align`, or of the usual alignment if that is 0.
    Allocate {
        /// Bytes.
        size: u64,
        /// The alignment's logarithm.
        align: u8,
    },
    /// A resize of a live block.
    Resize {
        /// Which block.
        block: u32,
        /// The new size in bytes.
        size: u64,
    },
    /// A free of a live block.
    Free {
        /// Which block.
        block: u32,
    },
    /// A free, or a resize, of what is no live block: of a block that was freed before, or of an address inside of a live one.
    Wrong {
        /// The block that is meant or hit.
        block: u32,
        /// Bytes from its start.
        offset: u64,
    },
}

/// The calls of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The process's number.
    pub process: u32,
    /// Its parent's.
    pub parent: u32,
    /// Monotonic time in nanoseconds when it began.
    pub started: u64,
    /// The calls in their order.
    pub calls: Vec<Call>,
    /// How many threads made them.
    pub threads: usize,
    /// Frees and resizes of blocks that are not in the record: made before it began, or before a fork. They are left out.
    pub unseen: usize,
    /// Requests that were refused. They are left out.
    pub refused: usize,
}

/// What is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRecord {
    /// It does not begin as one of this version.
    Magic,
    /// It names a call that there is not.
    Kind(u8),
}

impl fmt::Display for NoRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not a record of this version"),
            Self::Kind(kind) => write!(f, "no call is of kind {kind}"),
        }
    }
}

impl std::error::Error for NoRecord {}

impl Record {
    /// Reads a file of the recorder's.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    ///
    /// ```
    /// use hmalloc_timeline::record::{NoRecord, Record};
    /// assert_eq!(Record::read(b"another file"), Err(NoRecord::Magic));
    /// ```
    pub fn read(bytes: &[u8]) -> Result<Self, NoRecord> {
        let header = bytes.get(..HEADER).filter(|header| header.starts_with(&MAGIC)).ok_or(NoRecord::Magic)?;
        let mut reader = Reader {
            record: Self {
                started: long(header, 8),
                process: word(header, 16),
                parent: word(header, 20),
                ..Self::default()
            },
            ..Reader::default()
        };
        for raw in bytes[HEADER..].chunks_exact(RECORD).take_while(|raw| raw[0] != 0) {
            reader.threads.insert(word(raw, 4));
            reader.take(raw[0], raw[1], [long(raw, 8), long(raw, 16), long(raw, 24)])?;
        }
        reader.record.threads = reader.threads.len();
        Ok(reader.record)
    }

    /// After how many calls the most bytes are live, as they were asked for.
    ///
    /// ```
    /// use hmalloc_timeline::record::{Call, Record};
    /// let calls = vec![Call::Allocate { size: 9, align: 0 }, Call::Resize { block: 0, size: 20 }, Call::Free { block: 0 }];
    /// assert_eq!(Record { calls, ..Record::default() }.peak(), 2);
    /// ```
    #[must_use]
    pub fn peak(&self) -> usize {
        let (mut sizes, mut live, mut most, mut peak) = (Vec::new(), 0_u64, 0, 0);
        for (number, call) in self.calls.iter().enumerate() {
            match *call {
                Call::Allocate { size, .. } => {
                    sizes.push(size);
                    live = live.saturating_add(size);
                }
                Call::Resize { block, size } => {
                    let old = sizes.get_mut(block as usize).map_or(0, |old| std::mem::replace(old, size));
                    live = live.saturating_add(size).saturating_sub(old);
                }
                Call::Free { block } => live = live.saturating_sub(sizes.get(block as usize).copied().unwrap_or(0)),
                Call::Wrong { .. } => {}
            }
            if live > most {
                (most, peak) = (live, number + 1);
            }
        }
        peak
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

#[derive(Default)]
struct Reader {
    record: Record,
    /// By address: the live block's number, and its size.
    live: BTreeMap<u64, (u32, u64)>,
    /// By address: the number of the block that was there last.
    freed: HashMap<u64, u32>,
    blocks: u32,
    threads: HashSet<u32>,
}

impl Reader {
    fn take(&mut self, kind: u8, align: u8, [size, old, new]: [u64; 3]) -> Result<(), NoRecord> {
        match kind {
            // Calls that are not recorded: a signal handler's that has interrupted one.
            1 if new == 0 && size == u64::MAX => self.freed.clear(),
            1..=3 if new == 0 => self.refuse(),
            1..=3 => self.allocate(size, align, new),
            4 if old == 0 && new == 0 => self.record.refused += 1,
            4 if old == 0 => self.allocate(size, 0, new),
            4 => self.resize(size, old, new),
            5 => self.free(old),
            kind => return Err(NoRecord::Kind(kind)),
        }
        Ok(())
    }

    /// What C++'s `new` gets at last, when the program has made room, is not in the record: from now on addresses may be in use again.
    fn refuse(&mut self) {
        self.record.refused += 1;
        self.freed.clear();
    }

    fn allocate(&mut self, size: u64, align: u8, new: u64) {
        self.drop_lost(new);
        self.record.calls.push(Call::Allocate { size, align });
        self.live.insert(new, (self.blocks, size));
        self.blocks += 1;
    }

    /// A block whose address is given out again was freed, although that is not in the record.
    fn drop_lost(&mut self, address: u64) {
        if let Some((block, _)) = self.live.remove(&address) {
            self.record.calls.push(Call::Free { block });
        }
        self.freed.remove(&address);
    }

    fn resize(&mut self, size: u64, old: u64, new: u64) {
        let Some(&(block, _)) = self.live.get(&old) else {
            self.wrong(old);
            if new != 0 {
                self.allocate(size, 0, new);
            }
            return;
        };
        if new == 0 && size != 0 {
            self.record.refused += 1;
        } else if new == 0 {
            self.free(old);
        } else {
            self.live.remove(&old);
            self.freed.insert(old, block);
            self.drop_lost(new);
            self.record.calls.push(Call::Resize { block, size });
            self.live.insert(new, (block, size));
        }
    }

    fn free(&mut self, old: u64) {
        match self.live.remove(&old) {
            Some((block, _)) => {
                self.freed.insert(old, block);
                self.record.calls.push(Call::Free { block });
            }
            None => self.wrong(old),
        }
    }

    /// A wrong pointer, if the record shows that it is one. It may be a block from before the record: then nobody is accused.
    fn wrong(&mut self, address: u64) {
        let around = self.live.range(..address).next_back();
        let inside = around.filter(|&(start, &(_, size))| address - start < size);
        let wrong = match (inside, self.freed.get(&address)) {
            (Some((start, &(block, _))), _) => Some(Call::Wrong { block, offset: address - start }),
            (None, Some(&block)) => Some(Call::Wrong { block, offset: 0 }),
            (None, None) => None,
        };
        match wrong {
            Some(call) => self.record.calls.push(call),
            None => self.record.unseen += 1,
        }
    }
}
