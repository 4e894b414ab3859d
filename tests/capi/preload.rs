//! Programs of the machine, unmodified, on the preloaded library: the same output, and a sound heap in each process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::installed::{Installed, aborted, command, describe, run, succeed};
use support::packages;
use tempfile::TempDir;

/// Runs a shell script twice, in two equal folders, and compares what it says and how it ends. Every process on the
/// library must end with a sound heap; there must be at least `processes` of them.
fn compare(needs: &[(&str, &str)], script: &str, processes: usize) {
    compare_in(needs, script, processes, |_| ());
}

/// As [`compare`], with more in the environment.
fn compare_in(needs: &[(&str, &str)], script: &str, processes: usize, prepare: impl Fn(&mut Command)) {
    let installed = Installed::new();
    for (name, package) in needs {
        packages::program(&[name], package);
    }
    let log = installed.directory.path().join("log");
    let without = in_a_folder(&mut command("sh"), script, &prepare);
    let mut with = installed.preloaded("sh");
    with.env("HMALLOC_STATS", "1").env("HMALLOC_CHECK", "1").env("HMALLOC_LOG", &log);
    let with = in_a_folder(&mut with, script, &prepare);
    assert!(without.status.success(), "without hmalloc: {}", describe(&without));
    assert!(!without.stdout.is_empty());
    assert_eq!(describe(&with), describe(&without));
    let lines = fs::read_to_string(log).expect("a line from each process");
    let unsound: Vec<_> = lines.lines().filter(|line| !line.ends_with("; sound")).collect();
    assert!(unsound.is_empty(), "{unsound:#?}");
    assert!(lines.lines().count() >= processes, "{lines}");
}

fn in_a_folder(shell: &mut Command, script: &str, prepare: impl Fn(&mut Command)) -> Output {
    let folder = TempDir::new().expect("a temporary directory");
    shell.args(["-euc", script]).current_dir(&folder).env("HOME", folder.path());
    prepare(shell);
    run(shell)
}

#[test]
fn shell_and_coreutils() {
    let script = "ls / | sort; i=0; while [ $i -lt 100 ]; do echo $i; i=$((i + 1)); done | tac | head -3; \
        seq 1 300000 | sort -R --random-source=/bin/sh | sort -n --parallel=4 -S 1M -T . | sha256sum; \
        seq 1 2000000 | sort -r --parallel=4 -S 12M -T . | sha256sum; \
        find /usr/include -name '*.h' | sort | xargs cat | wc -w";
    compare(&[("sort", "coreutils")], script, 10);
}

#[test]
fn git() {
    let script = "export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'; \
        git init -q -b main .; git config user.email a@b.c; git config user.name n; \
        awk 'BEGIN { for (i = 1; i <= 3000; i++) { \
        printf \"commit refs/heads/main\\ncommitter n <a@b.c> %d +0000\\ndata 6\\nn%05d\\n\", 1700000000 + i, i; \
        printf \"M 644 inline file%d\\ndata 12\\n%011d\\n\\n\", i % 50, i * i } }' | git fast-import --quiet; \
        git reset -q --hard; i=0; while [ $i -lt 10 ]; do seq $i 3000 >own$i; git add .; git commit -qm $i; i=$((i + 1)); done; \
        git gc -q; git fsck --no-progress; git clone -q . copy; git -C copy log --stat | sha256sum; \
        git rev-list --count HEAD; git diff HEAD~20 | sha256sum; git blame file7 | sha256sum";
    compare(&[("git", "git"), ("awk", "mawk")], script, 50);
}

#[test]
fn python() {
    let script = "cat >work.py <<'END'\n\
        import json, re, subprocess, sys, threading\n\
        data = [{'number': i, 'text': str(i) * (i % 50), 'list': list(range(i % 20))} for i in range(30000)]\n\
        assert json.loads(json.dumps(data)) == data\n\
        results = {}\n\
        def work(n):\n\
        \x20   results[n] = sum(len(re.findall('1+', str(i))) for i in range(n * 1000, n * 1000 + 5000))\n\
        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]\n\
        [t.start() for t in threads]; [t.join() for t in threads]\n\
        print(sorted(results.items()))\n\
        print([subprocess.check_output([sys.executable, '-c', f'print({n} ** 100)']) for n in range(10)])\n\
        END\n\
        PYTHONMALLOC=malloc python3 work.py; python3 work.py";
    compare(&[("python3", "python3")], script, 20);
}

#[test]
fn compilers_and_make() {
    let script = "for i in 1 2 3 4 5 6; do { echo '#include <stdio.h>'; echo '#include <stdlib.h>'; \
        j=0; while [ $j -lt 120 ]; do \
        echo \"int f${i}_$j(int x) { int s = $j; for (int k = 0; k < x; k++) s += s % (k + $i) ? k * s : x; return s; }\"; \
        j=$((j + 1)); done; } >f$i.c; done; \
        echo 'int f1_7(int x); int main(void) { return f1_7(9) == 0; }' >main.c; \
        printf 'all: f1.o f2.o f3.o f4.o f5.o f6.o main.o\\n\\tcc -o prog $^\\n%%.o: %%.c\\n\\tcc -O1 -c $<\\n' >Makefile; \
        make -s -j4; ./prog; sha256sum *.o prog";
    compare(&[("make", "make"), ("cc", "gcc")], script, 20);
}

/// One file of 12,000 lines, so that one process of the compiler holds all of it.
#[test]
fn a_large_file_is_compiled() {
    let script = "awk 'BEGIN { print \"#include <stdlib.h>\"; for (i = 0; i < 1000; i++) { \
        printf \"int f%d(int x)\\n{\\n    int s = %d;\\n    for (int k = 0; k < x; k++) {\\n\", i, i; \
        printf \"        if (s %% (k + %d) == 0)\\n            s += k * x;\\n        else\\n            s ^= x << (k & 7);\\n\", i + 1; \
        printf \"    }\\n    return s + abs(x);\\n}\\n\\n\" } }' >large.c; \
        wc -l <large.c; cc -O1 -c large.c; sha256sum large.o";
    compare(&[("cc", "gcc"), ("awk", "mawk")], script, 2);
}

#[test]
fn perl() {
    let script = "perl -e 'my %h; for my $i (1..100000) { $h{$i % 5000} .= $i; } my $n = 0; \
        for (sort keys %h) { $n += length $h{$_}; } print \"$n\\n\"; print join(\",\", map { $_ x 3 } grep { /7$/ } 1..500), \"\\n\"; \
        my $pid = fork; if (!$pid) { print scalar(reverse \"child\" x 1000), \"\\n\"; exit 0 } waitpid $pid, 0;'";
    compare(&[("perl", "perl")], script, 2);
}

#[test]
fn compressors_with_threads() {
    let script = "seq 1 1000000 >numbers; xz -T4 -1 -k numbers; sha256sum numbers.xz; xz -dc numbers.xz | cmp - numbers; \
        gzip -c numbers | gzip -dc | cmp - numbers; \
        zstd -q -T4 -9 numbers; sha256sum numbers.zst; zstd -dqc numbers.zst | cmp - numbers; echo equal";
    compare(&[("xz", "xz-utils"), ("gzip", "gzip"), ("zstd", "zstd")], script, 5);
}

#[test]
fn sqlite() {
    let script = "{ echo 'create table t(id integer primary key, word text, number real); begin;'; \
        awk 'BEGIN { for (i = 0; i < 100000; i++) \
        printf \"insert into t(word, number) values(\\047w%d\\047, %d.5);\\n\", i * 7919 % 100003, i }'; \
        echo 'commit; create index words on t(word); delete from t where id % 3 = 0; vacuum;'; \
        echo 'select count(*), sum(number), min(word), max(word) from t; pragma integrity_check;'; \
        echo 'select word, count(*) from t group by substr(word, 1, 3) order by 2 desc, 1 limit 10;'; } | sqlite3 base; \
        sha256sum base";
    compare(&[("sqlite3", "sqlite3"), ("awk", "mawk")], script, 2);
}

/// The server is asked over a socket in the test's own folder, forks to save, and is told to end.
#[test]
fn redis_under_its_own_benchmark() {
    let script = "redis-server --port 0 --unixsocket ./socket --save '' --dir . >log 2>&1 & \
        until redis-cli -s ./socket ping >pong 2>&1 && grep -q PONG pong; do sleep 0.1; done; \
        redis-benchmark -s ./socket -q -n 20000 -c 20 -r 5000 -d 200 -t set,get,lpush,lpop,hset,zadd,mset >figures; grep -c 'requests per second' figures; \
        redis-cli -s ./socket flushall; redis-cli -s ./socket debug populate 50000 key 300; redis-cli -s ./socket debug digest; \
        redis-cli -s ./socket save; redis-cli -s ./socket debug reload; redis-cli -s ./socket bgsave; \
        until redis-cli -s ./socket info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.1; done; \
        redis-cli -s ./socket info persistence | grep rdb_last_bgsave_status; redis-cli -s ./socket dbsize; \
        redis-cli -s ./socket debug digest; redis-cli -s ./socket shutdown nosave; wait";
    compare(&[("redis-server", "redis-server"), ("redis-benchmark", "redis-tools")], script, 5);
}

#[test]
fn node() {
    let script = "cat >work.js <<'END'\n\
        const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');\n\
        const zlib = require('zlib');\n\
        function work(n) {\n\
        const rows = Array.from({ length: 20000 }, (_, i) => ({ n: i * n, text: String(i).repeat(i % 9) }));\n\
        const packed = zlib.gzipSync(JSON.stringify(rows));\n\
        return JSON.parse(zlib.gunzipSync(packed)).reduce((sum, row) => sum + row.n + row.text.length, 0);\n\
        }\n\
        if (isMainThread) {\n\
        const all = [1, 2, 3, 4].map(n => new Promise((done, failed) =>\n\
        new Worker(__filename, { workerData: n }).on('message', done).on('error', failed)));\n\
        Promise.all(all).then(sums => console.log(sums));\n\
        } else parentPort.postMessage(work(workerData));\n\
        END\n\
        node work.js";
    compare(&[("node", "nodejs")], script, 1);
}

#[test]
fn cargo_builds_a_crate() {
    let script = "cargo new --quiet --vcs none small; cd small; \
        echo 'fn main() { let v: Vec<_> = (0..9).map(|x| x * x).collect(); println!(\"{v:?}\"); }' >src/main.rs; \
        cargo run --quiet --offline";
    compare_in(&[("cargo", "cargo")], script, 2, |shell| {
        // rustup's own settings are in the real home, and the build belongs into the crate's folder.
        shell.env("CARGO_TARGET_DIR", "target");
        for name in ["CARGO_HOME", "RUSTUP_HOME"] {
            let folder = if name == "CARGO_HOME" { ".cargo" } else { ".rustup" };
            let known = std::env::var_os(name).map(PathBuf::from);
            let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(folder));
            shell.envs(known.or_else(home).map(|path| (name, path)));
        }
    });
}

/// Headers are overwritten, as no program can do by an overflow: the check at exit notices, and says so.
#[test]
fn a_corrupt_heap_is_noticed_at_exit() {
    let installed = Installed::new();
    let source = installed.directory.path().join("corrupt.c");
    let text = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
        static unsigned long first(void) { static void *block; block = malloc(1); return (unsigned long)block; }\n\
        __attribute__((constructor)) static void keep(void) { first(); }\n\
        int main(void) { memset((char *)(first() / 16384 * 16384) - 16384 + 768, 0x77, 8); return 0; }\n";
    fs::write(&source, text).expect("a source file");
    let program = installed.directory.path().join("corrupt");
    succeed(command("cc").arg(&source).arg("-o").arg(&program));
    let exits = |check: &str| run(installed.preloaded(&program).env("HMALLOC_CHECK", check));
    let output = exits("1");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(aborted(output.status), "{}", describe(&output));
    assert!(stderr.starts_with("hmalloc: the heap is corrupt at exit: I"), "{stderr}");
    // The check is what found it.
    assert!(exits("0").status.success());
    assert!(Path::new(&program).exists());
}
