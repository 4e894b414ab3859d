//! The journal: five milestones of a heap, each in one file.
