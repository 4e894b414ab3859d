//! The programs on the C library's malloc, or what is preloaded in its place.

#[global_allocator]
static HEAP: std::alloc::System = std::alloc::System;

fn main() -> std::process::ExitCode {
    hmalloc_bench_programs::main()
}
