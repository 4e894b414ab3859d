/* hmalloc: a heap over raw system calls that checks every pointer it is given.
 *
 * C89 to C23 and C++. Three libraries define what is declared here:
 *
 *   libhmalloc.a         these functions and nothing else. It needs no library, not even libc.
 *   libhmalloc.so        the same; and malloc, free and their family, and C++'s operators new and delete, so that it can be
 *                        preloaded into an existing program. A program linked with it gets all of its memory from this heap. It
 *                        reads the environment: see below.
 *   libhmalloc-malloc.a  what the shared library has, for static programs.
 *
 * All functions may be called from any thread, before main, in constructors and at exit, and in the child of a fork. With a
 * libc, those that allocate, free and resize may be called from signal handlers, too, whatever they have interrupted. Without
 * one, and the others anywhere, not from a handler that may have interrupted one of them: that ends the process with
 * one line. fork in such a handler works. Large blocks take one lock. It does not inherit priority, so a real-time thread
 * may wait for one of low priority that is preempted inside. The child of a vfork shares the heap with its parent.
 *
 * Memory is aligned for any object (to 16 bytes). If it runs out, or more than PTRDIFF_MAX bytes are requested, the result
 * is NULL, and errno is ENOMEM if there is a libc. errno is otherwise left alone. A request of size 0 gets a unique block.
 *
 * Misuse: a pointer that is not a live block of this heap is recognized, whatever it is, and the heap does not change. The
 * policy says what happens:
 *
 *   HMALLOC_IGNORE  the call has no effect
 *   HMALLOC_REPORT  the same, and one line on standard error names the call, the pointer, what is wrong with it, and the
 *                   block that it points into
 *   HMALLOC_ABORT   that line, and the process dies by SIGABRT; this is the default
 *
 * A line that cannot be written is lost, and raises no signal; if standard error is full, the call waits for two seconds at
 * most. A handler of SIGABRT runs before the process dies, and may use these functions.
 *
 * Costs: those below are instructions on x86_64 in a program with a libc, for small blocks (up to 56 KiB) of the calling thread; most
 * calls take so many, and a few in a hundred cost more, for a new slab or a look at what other threads have freed. Without a libc a
 * lock is taken and left at each call. None grows with the number of blocks but where that is said.
 *
 * libhmalloc.so does not replace the malloc of a program that defines its own, nor that of a plugin that is loaded with
 * RTLD_DEEPBIND and not linked with this library.
 *
 * The two libraries that define malloc read the environment, HMALLOC_POLICY and others, once, at start: README.md, which is installed
 * as share/doc/hmalloc/README.md, has the table of them.
 */
#ifndef HMALLOC_H
#define HMALLOC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#define HMALLOC_NOEXCEPT throw()
#else
#define HMALLOC_NOEXCEPT
#endif
#if defined(__cplusplus) && __cplusplus >= 201103L
#undef HMALLOC_NOEXCEPT
#define HMALLOC_NOEXCEPT noexcept
#endif

#define HMALLOC_API extern

/* The policies for misuse. */
#define HMALLOC_IGNORE 1
#define HMALLOC_REPORT 2
#define HMALLOC_ABORT 3

/* A block of at least `size` bytes. With the hfree of it some 120 instructions, up to 56 KiB. A larger one takes the lock and some
 * 1,200 with its hfree; system calls only where the heap grows or returns memory. */
HMALLOC_API void *hmalloc(size_t size) HMALLOC_NOEXCEPT;

/* Frees a block. NULL is not misuse, and nothing happens. A block of another thread takes one or two atomic operations, a misuse the
 * lock and a line. */
HMALLOC_API void hfree(void *block) HMALLOC_NOEXCEPT;

/* A block for `count` elements of `size` bytes each, all zero. NULL if the product is too large. Some 80
 * instructions more than hmalloc and what it takes to write the zeros; a large block fresh from the kernel is not written. */
HMALLOC_API void *hcalloc(size_t count, size_t size) HMALLOC_NOEXCEPT;

/* Resizes the block to at least `size` bytes, and returns its new address. The content is kept up to the smaller of the two
 * sizes. If the result is NULL, the block is unchanged. hrealloc(NULL, size) is hmalloc(size). hrealloc(block, 0) does not
 * free: it returns a block of size 0. On misuse: NULL, and errno is EINVAL.
 * Some 170 instructions if the block stays where it is; else those of hmalloc, of hfree and of the copy. A block of more than 1 MiB
 * that moves takes its pages along, without a copy where Linux allows it. */
HMALLOC_API void *hrealloc(void *block, size_t size) HMALLOC_NOEXCEPT;

/* hrealloc for `count` elements of `size` bytes each. NULL if the product is too large. As hrealloc. */
HMALLOC_API void *hreallocarray(void *block, size_t count, size_t size) HMALLOC_NOEXCEPT;

/* A block at a multiple of `alignment`, a power of two; for any other, NULL, and errno is EINVAL. The size need not be a
 * multiple of it. Some 120 instructions more than hmalloc. */
HMALLOC_API void *haligned_alloc(size_t alignment, size_t size) HMALLOC_NOEXCEPT;

/* How many bytes of the block may be used: at least as many as were requested. 0 for NULL and on misuse. Some
 * 90 instructions. */
HMALLOC_API size_t husable_size(const void *block) HMALLOC_NOEXCEPT;

/* Checks the heap and writes it in one line to a file descriptor: as hmalloc_check, and one write. 0, or -1 if it could not be written (errno is EIO). */
HMALLOC_API int hmalloc_stats_print(int descriptor) HMALLOC_NOEXCEPT;

/* Writes to a file descriptor where the heap's memory is, and why it is not going back to the kernel: in words, some ten lines and one
 * for each size class, each a write and begun with "hmalloc: ". It takes four walks over the heap, while all threads are stopped. 0, or -1 if it could not be written (errno is EIO). */
HMALLOC_API int hmalloc_report(int descriptor) HMALLOC_NOEXCEPT;

/* Walks the whole heap, while all threads are stopped: some 4,500 instructions for a small heap, and
 * 32,000 more for each MB of blocks of 64 bytes. 0 if it is sound, else the number of the first invariant found broken (see src/README.md). */
HMALLOC_API int hmalloc_check(void) HMALLOC_NOEXCEPT;

/* Returns free memory to the kernel, except for `keep` bytes below the break. The result is how many bytes it was.
 * All threads are stopped meanwhile: it takes a walk over the slabs, and a system call for each free stretch. */
HMALLOC_API size_t hmalloc_trim(size_t keep) HMALLOC_NOEXCEPT;

/* Sets the policy of the process: HMALLOC_IGNORE, HMALLOC_REPORT or HMALLOC_ABORT. 0, or -1 for anything else (errno is
 * EINVAL). One store. */
HMALLOC_API int hmalloc_set_policy(int policy) HMALLOC_NOEXCEPT;

#undef HMALLOC_API
#undef HMALLOC_NOEXCEPT

#ifdef __cplusplus
}
#endif

#endif
