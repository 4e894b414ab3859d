//! The programs on hmalloc.

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

fn main() -> std::process::ExitCode {
    hmalloc_bench_programs::main()
}
