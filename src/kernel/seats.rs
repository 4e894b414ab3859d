//! The table of all heaps' locks, outside of the heaps themselves, so that a thread that forks finds them wherever
//! their heaps have been moved to.
//!
//! ```text
//! SEATS    | vacant | a heap's | another heap's | ...          one cache line each
//!          ^ where every lock begins: its first use fails there, and gets it a seat of its own
//! ```

use crate::kernel::seat::Seat;

/// Seats, the vacant one included. Heaps beyond so many share the last.
const SEAT_COUNT: usize = 32;

pub(crate) static SEATS: [Seat; SEAT_COUNT] = [const { Seat::new() }; SEAT_COUNT];

/// A seat for one more lock, an unused one if there is one. To be called while no other thread does.
pub(crate) fn claim() -> &'static Seat {
    let unused = SEATS[1..].iter().find(|seat| !seat.is_used());
    let seat = unused.unwrap_or(&SEATS[SEAT_COUNT - 1]);
    seat.join();
    seat
}

/// The number of `seat`, which stands in the table.
pub(crate) fn number(seat: &Seat) -> Option<usize> {
    SEATS.iter().position(|other| core::ptr::eq(other, seat))
}
