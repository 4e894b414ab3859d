//! How far a heap has come.

/// What a heap has to have learned: the number of the exercise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);
