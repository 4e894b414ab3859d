//! What `--help` prints.

pub(crate) const HELP: &str = "\
Usage: cargo run --release -- [OPTIONS]

Without options: time and memory of every allocator on nearly every workload, and instructions per pair; under five
minutes.

  --quick              about a minute: shorter, fewer workloads, no instructions
  --all                everything: all workloads, more processes, system calls, then --growth, --tiny and --memory
  --million            the churn of a million blocks with --quick too
  --workload A,B       only these workloads
  --allocator A,B      only these allocators
  --rounds N           processes for each allocator and workload (3; quick: 2; all: 5)
  --syscalls           count system calls too
  --no-callgrind       count no instructions, which needs valgrind
  --best               tables and charts by the best process of each cell instead of the middle one

Instead of all that:

  --growth             how cost grows with live blocks and with the heap's size (with --quick: its first half)
  --memory             resident memory after bursts and patterns, calls at a limit and in a large address space
  --tiny               what each allocator adds to one small static program
  --from DIR           measure nothing: tables and charts from the raw data in DIR
  --figures            the size of the static program and the lines of src/
  --self-test          is every allocator's memory good, and are calls and instructions counted right
  --list               the names of all allocators and workloads
  trace                how to record, pack and show traces

With --memory (and --quick, which makes all of it smaller, and --allocator):

  --part A,B           only these parts: bursts, patterns, limit, space
  --rest SECONDS       how long a process is idle after its bursts (10)

With any of them:

  --markdown           tables in markdown
  --out DIR            where raw data and charts go (default: a new folder below target/comparison/)
";
