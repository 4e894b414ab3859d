#!/usr/bin/env bash
# Records the traces anew: all of them, or those that are named. `README.md` says what each one is.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD

declare -A packages=([gcc]=gcc [python3]=python3 [sqlite3]=sqlite3 [redis-server]=redis-server
    [redis-benchmark]=redis-tools [redis-cli]=redis-tools [git]=git [awk]=mawk [xargs]=findutils [cargo]=cargo)
missing=()
for program in "${!packages[@]}"; do
    command -v "$program" > /dev/null || missing+=("${packages[$program]}")
done
if ((${#missing[@]})); then
    echo "missing; install the Debian packages: $(printf '%s\n' "${missing[@]}" | sort -u | xargs)" >&2
    exit 1
fi
# A wrapper of another version of Python would be recorded as well.
python=/usr/bin/python3

build() { # MANIFEST KIND: the path of what cargo built
    cargo build --release --manifest-path "$1" --message-format=json | "$python" -c '
import json, sys
for line in sys.stdin:
    artifact = json.loads(line)
    if artifact["reason"] == "compiler-artifact" and sys.argv[1] in artifact["target"]["kind"]:
        made = artifact["filenames"][0]
print(made)' "$2"
}
recorder=$(build ../recorder/Cargo.toml cdylib)
bench=$(build ../Cargo.toml bin)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

record() { # COMMAND...: into the folder of the trace that is being made
    env LD_PRELOAD="$recorder" HMALLOC_TRACE="$work/$trace" "$@"
}

# A source file of the mimalloc that is compared, in the version of the lockfile.
record_gcc() {
    local mimalloc
    mimalloc=$(cargo metadata --format-version 1 --manifest-path ../Cargo.toml | "$python" -c '
import json, pathlib, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "libmimalloc-sys":
        print(pathlib.Path(package["manifest_path"]).parent / "c_src/mimalloc/v3")')
    record gcc -O2 -I"$mimalloc/include" -c "$mimalloc/src/page.c" -o "$work/page.o"
    rm "$work/$trace"/*.gcc.raw "$work/$trace"/*.as.raw
    "$bench" trace pack "$here/gcc.trace" "$work/$trace"
}

# With every object from malloc: Python's own allocator would ask for whole arenas only.
record_python() {
    record PYTHONMALLOC=malloc "$python" -s -S inputs/words.py ../../src
    "$bench" trace pack "$here/python.trace" "$work/$trace"
}

record_sqlite() {
    record sqlite3 -init /dev/null :memory: '.read inputs/items.sql'
    "$bench" trace pack "$here/sqlite.trace" "$work/$trace"
}

record_redis() {
    local socket=$work/socket
    record redis-server --port 0 --unixsocket "$socket" --save '' --io-threads 2 --io-threads-do-reads yes \
        --dir "$work" > "$work/log" &
    until redis-cli -s "$socket" ping > /dev/null 2>&1; do sleep 0.1; done
    load() { redis-benchmark -s "$socket" -q -P 8 -c 20 "$@"; }
    load -n 20000 -r 15000 -d 400 -t set,get
    load -n 10000 -r 10000 -d 40 -t lpush,sadd,hset,zadd
    load -n 10000 -r 15000 append key:__rand_int__ "a little more text for this key"
    load -n 8000 -r 15000 del key:__rand_int__
    redis-cli -s "$socket" shutdown nosave
    wait
    "$bench" trace pack "$here/redis.trace" "$work/$trace"
}

record_shell() {
    record inputs/report.sh ../../capi/src
    "$bench" trace pack "$here/shell.trace" "$work/$trace"
}

# A copy of this repository is made, packed again with two threads and read.
record_git() {
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
    record git clone -q --bare --no-local ../.. "$work/copy"
    record git -C "$work/copy" -c pack.threads=2 repack -q -a -d -f
    record git -C "$work/copy" log -p -M --stat -25 > "$work/log"
    record git -C "$work/copy" grep -c --threads=2 -E 'fn [a-z_]+\(' HEAD > "$work/log"
    "$bench" trace pack "$here/git.trace" "$work/$trace"
}

names=("$@")
((${#names[@]})) || names=(gcc python sqlite redis shell git)
for trace in "${names[@]}"; do
    mkdir "$work/$trace"
    "record_$trace"
done
