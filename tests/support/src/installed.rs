//! A prefix with the libraries, and programs compiled against it.

use crate::packages;
use crate::places::{repository, scratch};
use crate::programs::plainly;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use tempfile::TempDir;

/// The functions that `hmalloc.h` declares.
pub const FAMILY: [&str; 12] = [
    "hmalloc",
    "hfree",
    "hcalloc",
    "hrealloc",
    "hreallocarray",
    "haligned_alloc",
    "husable_size",
    "hmalloc_stats_print",
    "hmalloc_report",
    "hmalloc_check",
    "hmalloc_trim",
    "hmalloc_set_policy",
];

/// The functions of a libc for which the shared library and the archive `libhmalloc-malloc.a` answer.
pub const STANDARD: [&str; 30] = [
    "malloc",
    "free",
    "calloc",
    "realloc",
    "reallocarray",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "free_sized",
    "free_aligned_sized",
    "malloc_trim",
    "malloc_stats",
    "mallinfo",
    "mallinfo2",
    "malloc_info",
    "mallopt",
    "cfree",
    "__libc_malloc",
    "__libc_free",
    "__libc_calloc",
    "__libc_realloc",
    "__libc_memalign",
    "__libc_valloc",
    "__libc_pvalloc",
    "__libc_mallopt",
    "__libc_mallinfo",
    "__posix_memalign",
];

/// Those for which the shared library answers alone.
pub const LEAVING: [&str; 2] = ["_exit", "_Exit"];

/// C++'s operators, for which they answer, too.
pub const OPERATORS: [&str; 20] = [
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
];

/// The repository's folder `capi`.
pub fn capi() -> PathBuf {
    repository("capi")
}

/// The variables that the library reads.
const TOLD: [&str; 9] = [
    "HMALLOC_POLICY",
    "HMALLOC_STATS",
    "HMALLOC_CHECK",
    "HMALLOC_LOG",
    "HMALLOC_REPORT",
    "HMALLOC_CHECKED",
    "HMALLOC_GUARDS",
    "HMALLOC_PROFILE",
    "HMALLOC_PROFILE_EVERY",
];

/// A command in an environment without the settings that the tests were built with, and without what a user may have told
/// hmalloc.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    plainly(&mut command);
    TOLD.iter().chain(&["LD_PRELOAD", "DESTDIR"]).for_each(|name| _ = command.env_remove(name));
    command.env("CARGO_TARGET_DIR", scratch("capi")).env("LC_ALL", "C");
    command
}

/// An installation of a test's own, and a folder for its programs.
pub struct Installed {
    pub directory: TempDir,
}

impl Installed {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let installed = Self { directory };
        let _turn = Self::turn();
        installed.copy(&installed_in_this_run());
        installed
    }

    /// Copies an installation here. Only what pkg-config reads has its path in it.
    fn copy(&self, from: &Path) {
        succeed(command("cp").arg("-a").arg(from).arg(self.prefix()));
        let [old, new] = [from, &self.prefix()].map(|path| path.to_str().expect("a path in text").to_owned());
        let files = fs::read_dir(self.prefix().join("lib/pkgconfig")).expect("files for pkg-config");
        for file in files.map(|file| file.expect("an entry").path()) {
            let text = fs::read_to_string(&file).expect("a text");
            fs::write(file, text.replace(&old, &new)).expect("a text");
        }
    }

    /// A turn at building: tests in other processes do it in the same target directory.
    pub fn turn() -> File {
        let lock = File::create(scratch("capi.lock")).expect("a lock file");
        // SAFETY: the descriptor is open; closing it lets go of the lock.
        assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) }, 0);
        lock
    }

    pub fn prefix(&self) -> PathBuf {
        self.directory.path().join("prefix")
    }

    pub fn shared(&self) -> PathBuf {
        self.prefix().join("lib/libhmalloc.so")
    }

    pub fn archive(&self) -> PathBuf {
        self.prefix().join("lib/libhmalloc.a")
    }

    /// The archive that defines malloc.
    pub fn malloc_archive(&self) -> PathBuf {
        self.prefix().join("lib/libhmalloc-malloc.a")
    }

    /// Compiles a program of `tests/capi`, named `name`, by one command line: its words, the source, and what comes behind it.
    pub fn build(&self, name: &str, line: &[&str], source: &str, behind: &[&OsStr]) -> PathBuf {
        let program = self.directory.path().join(name);
        let mut compile = command(line[0]);
        compile.args(["-O1", "-w", "-fno-builtin", "-pthread"]).args(&line[1..]);
        compile.arg(repository("tests/capi").join(source)).args(behind);
        succeed(compile.arg("-o").arg(&program));
        program
    }

    /// Compiles a program of `tests/capi` that knows nothing of hmalloc.
    pub fn compile(&self, source: &str) -> PathBuf {
        let program = self.directory.path().join(source.replace('.', "-"));
        let folder = repository("tests/capi");
        // The compiler knows what malloc does, and would leave out what is to be tested.
        let flags = ["-std=gnu11", "-O1", "-fno-builtin", "-Wall", "-Wextra", "-Werror", "-pthread"];
        let quiet = [
            "-Wno-unused-result",
            "-Wno-use-after-free",
            "-Wno-free-nonheap-object",
            "-Wno-unused-function",
            "-Wno-deprecated-declarations",
        ];
        succeed(command("cc").args(flags).args(quiet).arg(folder.join(source)).arg("-o").arg(&program));
        program
    }

    /// Compiles a program of `tests/capi` with the archive. With `-DFAMILY` it uses `hmalloc.h` in place of its malloc.
    pub fn compile_with_archive(&self, compiler: impl AsRef<OsStr>, source: &str, flags: &[&str]) -> PathBuf {
        let program = self.directory.path().join(source.replace(".c", "-archive"));
        let mut compile = command(compiler);
        compile.args(["-std=gnu11", "-O1", "-fno-builtin", "-pthread"]).args(flags);
        compile.arg("-I").arg(self.prefix().join("include"));
        compile.arg(repository("tests/capi").join(source)).arg(self.archive());
        succeed(compile.arg("-o").arg(&program));
        program
    }

    /// `program` on the preloaded library.
    pub fn preloaded(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command(program);
        command.env("LD_PRELOAD", self.shared()).env("EXPECT_HMALLOC", "1");
        command
    }
}

/// What `capi/install` makes of the sources as they are: done once for all tests of a run, as it takes half a second each time and
/// only one can be at it. The caller has the turn.
fn installed_in_this_run() -> PathBuf {
    // Nextest has a process for each test, and says which run it belongs to. Otherwise a process is a run.
    let run = env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| format!("process {}", std::process::id()));
    let (prefix, of_run) = (scratch("capi-installed"), scratch("capi-installed.run"));
    if fs::read_to_string(&of_run).ok().as_deref() != Some(&run) {
        let _ = fs::remove_file(&of_run);
        let _ = fs::remove_dir_all(&prefix);
        succeed(command(capi().join("install")).arg(&prefix));
        fs::write(of_run, run).expect("a file in the target directory");
    }
    prefix
}

/// Runs a command with nothing on its standard input.
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command that has to exit with 0, and returns its standard output.
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", describe(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a program said and how it ended.
pub fn describe(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{:?}\nstdout:\n{stdout}\nstderr:\n{stderr}", output.status)
}

/// Whether a process died by SIGABRT.
pub fn aborted(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGABRT)
}

/// The names that a program lists when it is run without an argument.
pub fn cases(program: &Path) -> Vec<String> {
    let names: Vec<String> = succeed(&mut command(program)).lines().map(str::to_owned).collect();
    assert!(!names.is_empty());
    names
}

/// A command run as root, by `sudo` without a password where the tests are not. Only root can make files that run with
/// the rights of others.
pub fn as_root(program: &str) -> Command {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } == 0 {
        return command(program);
    }
    let mut sudo = command(packages::program(&["sudo"], "sudo"));
    sudo.args(["-n", program]);
    sudo
}
