//! Who is in the table.

/// A row of the table.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// In words.
    pub(super) title: String,
    /// What the program calls it; nothing for the C library.
    pub(super) heap: Option<String>,
}

pub(super) fn peers(yours: &str) -> Vec<Peer> {
    let peer = |title: &str, heap: Option<&str>| Peer { title: title.into(), heap: heap.map(Into::into) };
    vec![
        peer("yours", Some(yours)),
        peer("first fit, as in xv6", Some("xv6")),
        peer("the C library", None),
        peer("hmalloc", Some("heap")),
    ]
}
