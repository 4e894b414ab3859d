//! The names of what a mode can be limited to.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

/// A part of `--memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Part {
    Bursts,
    Patterns,
    Limit,
    Space,
}

/// A column of `--threads`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Column {
    Pair2,
    Churn2,
    Larson,
    Remote,
    Remote64,
    Short,
    Short2,
    Generations,
    Sharing,
    Handover,
    Sh6,
    Sh8,
}

/// A program of `--programs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Display, EnumString, Serialize, Deserialize)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Program {
    Python,
    PythonMalloc,
    Perl,
    Gcc,
    Sqlite,
    Redis,
    Sort,
    Xz,
    Zstd,
    Search,
    Json,
    Index,
}
