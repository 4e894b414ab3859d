//! The journal: five stages and the production heap, held to what the journal says of them.

mod control;
mod experiments;
mod files;
mod journal;
mod neighbours;
mod random;
mod resize;
mod subject;
mod table;
mod tour;
