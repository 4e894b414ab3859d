use super::book::{self, Book};
use super::columns::{note, team};
use super::team::Pass;
use crate::options::Column;
use clap::ValueEnum;

/// What a column did in some passes.
struct Done {
    book: Book,
    threads: usize,
    /// After each pass: calls said to have been made so far, and those that were made.
    calls: Vec<(usize, usize)>,
}

fn run(column: Column, threads: usize, passes: usize) -> Done {
    let (entry, _turn) = book::open();
    let team = team(column, entry, threads);
    let (mut said, mut calls) = (0, Vec::new());
    team.run(|pass: Pass| {
        said += pass.calls;
        calls.push((said, book::read(Book::calls)));
        calls.len() < passes
    });
    Done { book: book::close(), threads: team.count, calls }
}

/// Of every column: as many calls as it says, every block freed once, as large as it was, with its contents.
#[test]
fn calls_are_counted_and_blocks_come_back_as_they_were() {
    for &column in Column::value_variants() {
        for threads in [2, 4] {
            let done = run(column, threads, 3);
            assert_eq!(done.calls.len(), 3);
            for (said, made) in done.calls {
                assert_eq!(said, made, "{column} with {threads} threads");
            }
            let book = done.book;
            assert_eq!((book.live(), &book.faults[..]), (0, &[][..]), "{column}: {:?}", book.faults);
            assert!(book.allocated > 1_000 && book.allocated == book.freed, "{column}");
            assert_eq!(book.begun, book.ended, "{column}");
        }
    }
}

/// Which share of all frees is of blocks that another thread allocated.
#[test]
fn blocks_pass_between_threads_where_they_are_to() {
    let share = |column, threads| {
        let done = run(column, threads, 8);
        100 * done.book.freed_by_others / done.book.freed
    };
    for column in [Column::Pair2, Column::Churn2, Column::Short, Column::Short2, Column::Sh6] {
        // What is live at the end is freed by those who have it then, who are its owners here.
        assert_eq!(share(column, 2), 0, "{column}");
    }
    for (column, low) in [(Column::Remote, 100), (Column::Remote64, 100), (Column::Handover, 80)] {
        assert!((low..=100).contains(&share(column, 2)), "{column}: {}", share(column, 2));
    }
    for (column, low, high) in
        [(Column::Larson, 40, 65), (Column::Generations, 40, 65), (Column::Sh8, 40, 50), (Column::Sharing, 0, 2)]
    {
        let share = share(column, 2);
        assert!((low..=high).contains(&share), "{column}: {share}");
    }
    assert!(run(Column::Sharing, 2, 2).book.freed_by_others > 0);
}

#[test]
fn threads_live_for_a_pass_or_for_all() {
    let begun = |column, threads| {
        let done = run(column, threads, 5);
        (done.threads, done.book.begun)
    };
    assert_eq!(begun(Column::Larson, 2), (2, 2));
    // Those of the last number come to free what is left.
    assert_eq!(begun(Column::Short, 4), (1, 5 + 1));
    assert_eq!(begun(Column::Short2, 4), (4, 20 + 4));
    assert_eq!(begun(Column::Generations, 2), (2, 10 + 2));
}

#[test]
fn a_thread_of_short_lives_for_a_thousand_blocks() {
    let done = run(Column::Short, 2, 1);
    assert_eq!((done.book.allocated, done.calls[0].0), (1_000, 2_000));
}

#[test]
fn sizes_are_those_of_the_notes() {
    for (column, low, high) in
        [(Column::Pair2, 16, 256), (Column::Churn2, 8, 1024), (Column::Handover, 16, 16_000), (Column::Sharing, 8, 8)]
    {
        let book = run(column, 2, 2).book;
        let (smallest, largest) = (book.smallest.expect("a block"), book.largest);
        assert!((low..=low * 2).contains(&smallest) && (high * 9 / 10..=high).contains(&largest), "{column}");
    }
    assert!(Column::value_variants().iter().all(|column| !note(*column).is_empty()));
}

/// What the tests above look at is seen where it is wrong.
#[test]
fn the_book_sees_what_is_wrong() {
    let (entry, _turn) = book::open();
    let [twice, changed, kept] = [24, 32, 40].map(|size| {
        let block = entry.block(size);
        block.touch();
        block
    });
    // SAFETY: the block has 32 bytes; the book answers to what is not live.
    unsafe {
        changed.payload.add(31).write(0);
        (entry.free)(twice.payload, 24);
        (entry.free)(twice.payload, 24);
        (entry.free)(changed.payload, 32);
        std::thread::scope(|scope| {
            let address = kept.payload.addr();
            scope.spawn(move || (entry.free)(std::ptr::with_exposed_provenance_mut(address), 41));
        });
    }
    entry.block(8);
    let book = book::close();
    let seen = ["is not live", "was changed", "has 40 bytes, not 41"];
    assert_eq!(book.faults.len(), 3, "{:?}", book.faults);
    assert!(book.faults.iter().zip(seen).all(|(fault, text)| fault.ends_with(text)), "{:?}", book.faults);
    assert_eq!((book.freed_by_others, book.live()), (1, 1));
}
