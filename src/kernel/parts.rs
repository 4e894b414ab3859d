//! Parts of the heap that a program can leave out, by cargo features. What is asked here is decided at compile time, so the code of
//! such a part is not in the program. What needs it is refused, or done in another way: nothing is done wrongly.

/// Whether more is used of a libc, where one is linked, than that it is there: handlers around forks, thread pointers, its answers.
/// Without it the heap still has a break of its own there.
pub(crate) const LIBC: bool = cfg!(feature = "libc");

/// Whether the heap asks for memory beside its break: regions where the break cannot move, the page map's arrays aside, moves of
/// large blocks without a copy; pages around metadata that are inaccessible; and whether others may move the break. Without it
/// what the break refuses is refused, as it is once another user has moved it, and large blocks are copied.
pub(crate) const MAPPINGS: bool = cfg!(feature = "mappings");

/// Whether the heap knows which of its free memory the kernel has, and returns any of it; huge pages, too. Without it only the
/// heap's end is returned, by a lowered break, and zeroed blocks are always written.
pub(crate) const RETURNS: bool = cfg!(feature = "returns");

/// Whether there is code and a table that only make calls faster. Without them each call takes more instructions,
/// each large block a search in a tree and a copy when it is resized, each slab that becomes empty is retired, and the text about a
/// wrong pointer takes a look at each page down to its block's start.
pub(crate) const SPEED: bool = cfg!(feature = "speed");

/// Whether there is what helps people who look at a failure: names in lines, an invariant's text, the table that a debugger reads.
pub(crate) const DETAILS: bool = cfg!(feature = "details");

/// Whether much is done before a request fails: smaller steps of growth and smaller slabs are tried, the last free slots looked for, and
/// the program is asked (`with_hook`). Without it a request fails if the kernel does not grant just what it needs.
pub(crate) const LIMITS: bool = cfg!(feature = "limits");
