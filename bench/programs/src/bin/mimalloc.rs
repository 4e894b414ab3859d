//! The programs on mimalloc.

#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    hmalloc_bench_programs::main()
}
