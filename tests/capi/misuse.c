/* One mistake for each case. What must be reported goes to standard output first; a * stands for a number that the
 * program cannot know. Compiled with FAMILY it uses hmalloc.h and the archive, otherwise malloc. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "expect.h"

#ifdef FAMILY
#define malloc hmalloc
#define free hfree
#define realloc hrealloc
#define malloc_usable_size husable_size
#define FREE "hfree"
#define REALLOC "hrealloc"
#define USABLE "husable_size"
extern void *hmalloc(size_t);
extern void hfree(void *);
extern void *hrealloc(void *, size_t);
extern size_t husable_size(const void *);
extern size_t hmalloc_trim(size_t);
#define malloc_trim hmalloc_trim
#else
#define FREE "free"
#define REALLOC "realloc"
#define USABLE "malloc_usable_size"
#endif

#define PAGE 16384
#define METADATA PAGE
#define CONTENT 0x5A

/* Live to the end, and must be as they were. */
static unsigned char *witnesses[11];
static size_t WITNESS[11] = {1, 24, 64, 64, 200, 1000, 5000, 20000, 100000, 64, 2000};
static int lived_on;

static void *at(uintptr_t address)
{
    return (void *)address;
}

static void expect_outside(const char *call, const void *wrong)
{
    printf("expected hmalloc: %s: %#lx is outside the heap\n", call, (unsigned long)(uintptr_t)wrong);
    fflush(stdout);
}

static void expect_in(const char *call, const char *wrong, const char *kind, const char *start, size_t size, const char *state)
{
    printf("expected hmalloc: %s: %p is %s: %lu bytes into %lu %s bytes at %p\n", call, (const void *)wrong, kind,
           (unsigned long)(wrong - start), (unsigned long)size, state, (const void *)start);
    fflush(stdout);
}

static void expect_somewhere(const char *call, const void *wrong, const char *kind, const char *state)
{
    printf("expected hmalloc: %s: %p is %s: * bytes into * %s bytes at 0x*\n", call, wrong, kind, state);
    fflush(stdout);
}

static void free_outside(void *wrong)
{
    expect_outside(FREE, wrong);
    free(wrong);
}

/* Looks like a used block of other heaps: sizes and flags before it, links in it. */
static size_t forged[64] __attribute__((aligned(64)));

static void forge(size_t *words, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        words[i] = i % 2 ? 0x71 : (size_t)words;
}

static void free_stack(void) { char here[64] __attribute__((aligned(16))); free_outside(here); }
static void free_stack_misaligned(void) { char here[64] __attribute__((aligned(16))); free_outside(here + 3); }
static void free_static(void) { free_outside(witnesses); }
static void free_text(void) { free_outside((void *)(uintptr_t)free_text); }
static void free_environment(void) { free_outside(environ[0]); }
static void free_argument_of_strings(void) { free_outside((void *)(uintptr_t)"a string"); }

static void free_forged_static(void)
{
    forge(forged, 64);
    free_outside(&forged[8]);
}

static void free_forged_stack(void)
{
    size_t words[64] __attribute__((aligned(64)));
    forge(words, 64);
    free_outside(&words[8]);
}

static void free_wild_low(void) { free_outside(at(16)); }
static void free_wild_odd(void) { free_outside(at(1)); }
static void free_wild_page(void) { free_outside(at(0xdeadb000)); }
static void free_wild_non_canonical(void) { free_outside(at((uintptr_t)1 << 63)); }
static void free_wild_kernel(void) { free_outside(at(UINTPTR_MAX - 0x7fffffff)); }
static void free_wild_last(void) { free_outside(at(UINTPTR_MAX)); }
static void free_wild_last_aligned(void) { free_outside(at(UINTPTR_MAX - 15)); }

static char *map(size_t bytes, int protection)
{
    char *mapping = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(mapping != MAP_FAILED);
    return mapping;
}

static void free_mapping(void) { free_outside(map(1 << 20, PROT_READ | PROT_WRITE)); }
static void free_in_mapping(void) { free_outside(map(1 << 20, PROT_READ | PROT_WRITE) + PAGE + 16); }
static void free_no_access(void) { free_outside(map(1 << 20, PROT_NONE) + PAGE); }

static void free_unmapped(void)
{
    char *mapping = map(1 << 20, PROT_READ);
    EXPECT(munmap(mapping, 1 << 20) == 0);
    free_outside(mapping + PAGE);
}

/* musl's sbrk moves nothing. */
#ifdef __GLIBC__
static void free_foreign_above(void)
{
    char *foreign = sbrk(1 << 20);
    EXPECT(foreign != at(UINTPTR_MAX));
    free_outside((char *)(((uintptr_t)foreign + 2 * PAGE) & ~(uintptr_t)(PAGE - 1)));
}

/* The heap has a break of its own: what others raise the program's over is never inside. */
static void free_foreign_below(void)
{
    char *foreign = sbrk(1 << 20), *above = malloc(16 << 20), *wrong;
    EXPECT(foreign != at(UINTPTR_MAX) && above != NULL);
    wrong = (char *)(((uintptr_t)foreign + 2 * PAGE) & ~(uintptr_t)(PAGE - 1));
    forge((size_t *)(void *)wrong, 64);
    free_outside(wrong + 64);
}
#endif

/* Whether a byte can be read, which the kernel is asked. */
static int is_readable(uintptr_t address)
{
    static int ends[2];
    EXPECT(ends[0] != 0 || pipe(ends) == 0);
    return write(ends[1], at(address), 1) == 1;
}

/* The heap starts with metadata that ends in a guard, and the first slab lies right behind it. */
static void free_metadata(void)
{
    uintptr_t start = (uintptr_t)witnesses[0] & ~(uintptr_t)(PAGE - 1);
    while (is_readable(start - 1))
        start -= PAGE;
    start -= METADATA;
    expect_in(FREE, at(start + 2048), "not a block", at(start), METADATA, "metadata");
    free(at(start + 2048));
}

static void wrong_in_used(const char *kind, size_t size, size_t offset)
{
    char *block = malloc(size);
    expect_in(FREE, block + offset, kind, block, malloc_usable_size(block), "used");
    free(block + offset);
}

static void free_interior(void) { wrong_in_used("not a block", 100, 16); }
static void free_misaligned(void) { wrong_in_used("misaligned", 100, 8); }
static void free_misaligned_by_one(void) { wrong_in_used("misaligned", 100, 1); }
static void free_large_interior(void) { wrong_in_used("not a block", 100000, 16); }
static void free_large_interior_page(void) { wrong_in_used("not a block", 100000, PAGE); }
static void free_large_interior_small_page(void) { wrong_in_used("not a block", 100000, 4096); }
static void free_large_last_byte(void) { wrong_in_used("misaligned", 100000, 99999); }

static void wrong_twice(const char *call, size_t size)
{
    char *before = malloc(size), *block = malloc(size), *behind = malloc(size);
    size_t usable = malloc_usable_size(block);
    EXPECT(before && block && behind);
    free(block);
    expect_in(call, block, "already free", block, usable, "free");
    if (strcmp(call, FREE) == 0)
        free(block);
    else if (strcmp(call, REALLOC) == 0)
        EXPECT(realloc(block, 5000) == NULL);
    else
        EXPECT(malloc_usable_size(block) == 0);
}

static void free_twice_at_once(void) { wrong_twice(FREE, 100); }
static void free_twice_large(void) { wrong_twice(FREE, 100000); }
static void realloc_freed(void) { wrong_twice(REALLOC, 100); }
static void realloc_freed_large(void) { wrong_twice(REALLOC, 100000); }
static void usable_size_freed(void) { wrong_twice(USABLE, 100); }

static void free_twice_after_others(void)
{
    char *blocks[5];
    size_t usable, i;
    for (i = 0; i < 5; i++)
        blocks[i] = malloc(100);
    usable = malloc_usable_size(blocks[2]);
    free(blocks[2]);
    free(blocks[0]);
    free(blocks[4]);
    free(blocks[1]);
    expect_in(FREE, blocks[2], "already free", blocks[2], usable, "free");
    free(blocks[2]);
}

static void free_freed_interior(void)
{
    char *block = malloc(100);
    size_t usable = malloc_usable_size(block);
    free(block);
    expect_in(FREE, block + 32, "not a block", block, usable, "free");
    free(block + 32);
}

static void free_after_the_slab_was_released(void)
{
    static char *blocks[3000];
    char *pin;
    size_t i;
    for (i = 0; i < 3000; i++)
        blocks[i] = malloc(1000);
    pin = malloc(100000);
    EXPECT(pin != NULL);
    for (i = 0; i < 3000; i++)
        free(blocks[i]);
    malloc_trim(0);
    expect_somewhere(FREE, blocks[1501], "not a block", "free");
    free(blocks[1501]);
}

static void free_after_the_heap_shrank(void)
{
    char *block = malloc(50 << 20);
    EXPECT(block != NULL);
    free(block);
    malloc_trim(0);
    free_outside(block);
}

static void *free_it(void *block)
{
    free(block);
    return NULL;
}

static void in_a_thread(void *block)
{
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, free_it, block) == 0 && pthread_join(thread, NULL) == 0);
}

static void free_twice_first_in_a_thread(void)
{
    char *block = malloc(100);
    size_t usable = malloc_usable_size(block);
    in_a_thread(block);
    expect_in(FREE, block, "already free", block, usable, "free");
    free(block);
}

static void free_twice_then_in_a_thread(void)
{
    char *block = malloc(100);
    size_t usable = malloc_usable_size(block);
    free(block);
    expect_in(FREE, block, "already free", block, usable, "free");
    in_a_thread(block);
}

static void realloc_wild(void)
{
    expect_outside(REALLOC, at(0xdeadb000));
    EXPECT(realloc(at(0xdeadb000), 100) == NULL);
}

static void realloc_wild_to_more_than_can_be(void)
{
    volatile size_t most = SIZE_MAX;
    expect_outside(REALLOC, at(0xdeadb000));
    EXPECT(realloc(at(0xdeadb000), most) == NULL);
}

static void realloc_interior(void)
{
    char *block = malloc(5000);
    expect_in(REALLOC, block + 4096, "not a block", block, malloc_usable_size(block), "used");
    EXPECT(realloc(block + 4096, 100) == NULL);
}

static void usable_size_wild(void)
{
    expect_outside(USABLE, at((uintptr_t)1 << 63));
    EXPECT(malloc_usable_size(at((uintptr_t)1 << 63)) == 0);
}

static void usable_size_interior(void)
{
    char *block = malloc(100);
    expect_in(USABLE, block + 48, "not a block", block, malloc_usable_size(block), "used");
    EXPECT(malloc_usable_size(block + 48) == 0);
}

#ifndef FAMILY
static void sized(size_t asked, size_t said)
{
    char *block = malloc(asked);
    expect_in("free_sized", block, "not of the given layout", block, malloc_usable_size(block), "used");
    free_sized(block, said);
}

static void free_sized_too_small(void) { sized(1000, 100); }
static void free_sized_too_large(void) { sized(1000, 5000); }
static void free_sized_zero(void) { sized(1000, 0); }
static void free_sized_beyond_everything(void) { sized(1000, SIZE_MAX); }
static void free_sized_large_as_small(void) { sized(100000, 10); }

static void free_sized_freed(void)
{
    char *block = malloc(100);
    size_t usable = malloc_usable_size(block);
    free(block);
    expect_in("free_sized", block, "already free", block, usable, "free");
    free_sized(block, 100);
}

static void free_aligned_sized_less_aligned(void)
{
    char *first = malloc(100), *block = malloc(100);
    if ((uintptr_t)block % 4096 == 0)
        block = first;
    expect_in("free_aligned_sized", block, "not of the given layout", block, malloc_usable_size(block), "used");
    free_aligned_sized(block, 4096, 100);
}

static void realloc_to_zero_freed(void)
{
    char *block = malloc(100);
    size_t usable = malloc_usable_size(block);
    free(block);
    expect_in("realloc", block, "already free", block, usable, "free");
    EXPECT(realloc(block, 0) == NULL);
}

static void reallocarray_freed(void)
{
    char *block = malloc(100);
    size_t usable = malloc_usable_size(block);
    free(block);
    expect_in("reallocarray", block, "already free", block, usable, "free");
    EXPECT(reallocarray(block, 10, 10) == NULL);
}
#endif

/* Runs when the policy is to abort: the heap's lock is not held, and the heap is sound. */
static void at_sigabrt(int signal)
{
    static const char sound[] = "sound at SIGABRT\n";
    (void)signal;
    if (!lived_on && hmalloc_check() == 0 && write(1, sound, sizeof sound - 1) < 0)
        _exit(4);
}

static void go_on(void)
{
    size_t i, j;
    lived_on = 1;
    EXPECT(hmalloc_check() == 0);
    free(malloc(64));
    free(malloc(70000));
    for (i = 0; i < 11; i++) {
        for (j = 0; j < WITNESS[i]; j++)
            EXPECT(witnesses[i][j] == CONTENT);
        free(witnesses[i]);
    }
    EXPECT(hmalloc_check() == 0);
    puts("lived on");
}

int main(int argc, char **argv)
{
    static const struct named cases[] = {
        CASE(free_stack), CASE(free_stack_misaligned), CASE(free_static), CASE(free_text), CASE(free_environment),
        CASE(free_argument_of_strings), CASE(free_forged_static), CASE(free_forged_stack),
        CASE(free_wild_low), CASE(free_wild_odd), CASE(free_wild_page), CASE(free_wild_non_canonical),
        CASE(free_wild_kernel), CASE(free_wild_last), CASE(free_wild_last_aligned),
        CASE(free_mapping), CASE(free_in_mapping), CASE(free_no_access), CASE(free_unmapped),
#ifdef __GLIBC__
        CASE(free_foreign_above), CASE(free_foreign_below),
#endif
        CASE(free_metadata),
        CASE(free_interior), CASE(free_misaligned), CASE(free_misaligned_by_one),
        CASE(free_large_interior), CASE(free_large_interior_page), CASE(free_large_interior_small_page),
        CASE(free_large_last_byte),
        CASE(free_twice_at_once), CASE(free_twice_large), CASE(free_twice_after_others), CASE(free_freed_interior),
        CASE(free_after_the_slab_was_released), CASE(free_after_the_heap_shrank),
        CASE(free_twice_first_in_a_thread), CASE(free_twice_then_in_a_thread),
        CASE(realloc_freed), CASE(realloc_freed_large), CASE(realloc_wild), CASE(realloc_wild_to_more_than_can_be),
        CASE(realloc_interior), CASE(usable_size_freed), CASE(usable_size_wild), CASE(usable_size_interior),
#ifndef FAMILY
        CASE(free_sized_too_small), CASE(free_sized_too_large), CASE(free_sized_zero),
        CASE(free_sized_beyond_everything), CASE(free_sized_large_as_small), CASE(free_sized_freed),
        CASE(free_aligned_sized_less_aligned), CASE(realloc_to_zero_freed), CASE(reallocarray_freed),
#endif
    };
    static char buffer[4096];
    size_t i;
    int status;
    if (argc < 2)
        return run_named(cases, COUNT(cases), argc, argv);
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    EXPECT(signal(SIGABRT, at_sigabrt) != SIG_ERR);
    if (argc > 2)
        EXPECT(hmalloc_set_policy(atoi(argv[2])) == 0);
    for (i = 0; i < 11; i++) {
        witnesses[i] = malloc(WITNESS[i]);
        EXPECT(witnesses[i]);
        memset(witnesses[i], CONTENT, WITNESS[i]);
    }
    status = run_named(cases, COUNT(cases), argc, argv);
    if (status == 0)
        go_on();
    return status;
}
