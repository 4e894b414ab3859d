//! Which programs there are, and how each is called. All names of files are relative to the folder of the inputs.

use super::inputs::{DOCUMENTS, LINES, PYTHON, SOURCE, TABLES, TREE, WORDS};
use crate::options::Program;

/// A program of the distribution, or one of `bench/programs`.
pub(super) struct Call {
    pub(super) note: &'static str,
    /// Where it is installed, and the package that brings it.
    pub(super) installed: Option<(&'static str, &'static str)>,
    pub(super) arguments: &'static [&'static str],
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// What it reads from standard input.
    pub(super) input: Option<&'static str>,
    /// What the distribution links it with, so that the C library's malloc is not what it has without a preload.
    pub(super) own_malloc: bool,
}

const fn installed(file: &'static str, package: &'static str, arguments: &'static [&'static str]) -> Call {
    let installed = Some((file, package));
    Call { note: "", installed, arguments, environment: &[], input: None, own_malloc: false }
}

const fn own(arguments: &'static [&'static str]) -> Call {
    Call { note: "", installed: None, arguments, environment: &[], input: None, own_malloc: false }
}

/// The server's socket. The path of a socket is short, so it is a relative one.
pub(super) const SOCKET: &str = "redis.socket";
/// Its load: every kind of value, replaced at random among 20,000 keys.
pub(super) const LOADER: &str = "/usr/bin/redis-benchmark";
pub(super) const LOAD: [&str; 14] =
    ["-s", SOCKET, "-n", "120000", "-r", "20000", "-d", "300", "-c", "20", "-P", "16", "-q", "-t"];
pub(super) const LOAD_KINDS: &str = "set,get,incr,lpush,lpop,sadd,hset,spop,zadd,zpopmin,mset";

pub(super) fn call(program: Program) -> Call {
    match program {
        Program::Python => Call {
            note: "an interpreter counts words; small objects are in its own arenas",
            input: Some(WORDS),
            ..installed("/usr/bin/python3", "python3", &["-S", "-B", PYTHON])
        },
        Program::PythonMalloc => Call {
            note: "the same with PYTHONMALLOC=malloc: all objects are malloc's",
            environment: &[("PYTHONMALLOC", "malloc")],
            ..call(Program::Python)
        },
        Program::Perl => Call {
            note: "an interpreter counts words and keeps lines",
            input: Some(WORDS),
            ..installed("/usr/bin/perl", "perl-base", &[super::inputs::PERL])
        },
        Program::Gcc => Call {
            note: "a compiler, with optimization, to assembly",
            ..installed("/usr/bin/gcc", "gcc", &["-O2", "-w", "-S", "-o", "-", SOURCE])
        },
        Program::Sqlite => Call {
            note: "a database in memory: fills, joins, changes and sorts two tables",
            input: Some(TABLES),
            ..installed("/usr/bin/sqlite3", "sqlite3", &["-batch", "-init", "/dev/null", ":memory:"])
        },
        Program::Redis => Call {
            note: "a server; its load generator has the C library's malloc",
            own_malloc: true,
            ..installed("/usr/bin/redis-server", "redis-server", &SERVER)
        },
        Program::Sort => Call {
            note: "sorts lines with two threads",
            ..installed("/usr/bin/sort", "coreutils", &["--parallel=2", "-S", "512M", LINES])
        },
        Program::Xz => Call {
            note: "compresses with two threads",
            ..installed("/usr/bin/xz", "xz-utils", &["-T2", "-1", "--block-size=2MiB", "-c", WORDS])
        },
        Program::Zstd => Call {
            note: "compresses with two threads",
            ..installed("/usr/bin/zstd", "zstd", &["-q", "-T2", "-9", "-c", LINES])
        },
        Program::Search => Call { note: "Rust: ignore and regex, two threads", ..own(&["search", TREE]) },
        Program::Json => Call { note: "Rust: serde_json, one thread", ..own(&["json", DOCUMENTS]) },
        Program::Index => Call { note: "Rust: rayon, two threads", ..own(&["index", TREE]) },
    }
}

const SERVER: [&str; 16] = [
    "--port",
    "0",
    "--unixsocket",
    SOCKET,
    "--save",
    "",
    "--appendonly",
    "no",
    "--daemonize",
    "no",
    "--enable-debug-command",
    "yes",
    "--loglevel",
    "warning",
    "--io-threads",
    "1",
];

#[cfg(test)]
mod tests {
    use super::call;
    use crate::options::Program;
    use clap::ValueEnum;

    #[test]
    fn names_are_the_same_everywhere_and_every_program_has_a_note() {
        for program in Program::value_variants() {
            let name = program.to_string();
            assert_eq!(program.to_possible_value().expect("a name").get_name(), name);
            assert_eq!(serde_json::to_string(program).expect("a name"), format!("{name:?}"));
            assert!(!call(*program).note.is_empty());
        }
    }
}
