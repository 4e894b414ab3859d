//! The course in `learn/`: each grader passes the right answer and fails wrong ones for the right reason, and what a learner
//! types does what the pages say.

mod answers;
mod book;
mod heaps;
mod modes;
mod orderings;
mod others;
mod simulator;
mod solved;
mod timeline;
