/* What C23, POSIX and the malloc manual page promise, one function for each promise. Those named own_ are not kept by
 * every glibc; the others must hold there, too. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "expect.h"

/* What musl's headers do not declare, and a program for it would not use. */
#ifndef __GLIBC__
#define M_MMAP_MAX -4
#define M_MMAP_THRESHOLD -3
#define M_TRIM_THRESHOLD -1
#define M_ARENA_MAX -8
#define M_PERTURB -6
struct mallinfo2 { size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; };
struct mallinfo { int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; };
extern struct mallinfo2 mallinfo2(void);
extern struct mallinfo mallinfo(void);
extern int mallopt(int, int), malloc_info(int, FILE *), malloc_trim(size_t);
extern void malloc_stats(void), *pvalloc(size_t), *valloc(size_t);
#endif

#define BEFORE EDOM /* a value of errno that no allocator sets */
static const size_t SIZES[] = {0, 1, 15, 16, 17, 100, 1000, 4096, 16384, 16385, 50000, 1 << 20, 5 << 20};

/* Sizes the compiler cannot see through, so that it neither warns nor computes the answer itself. */
static volatile size_t huge = SIZE_MAX;

static int aligned(const void *block, size_t to)
{
    return (uintptr_t)block % to == 0;
}

static void fill(void *block, size_t size, unsigned seed)
{
    size_t i;
    for (i = 0; i < size; i++)
        ((unsigned char *)block)[i] = (unsigned char)(seed + i * 7);
}

static int filled(const void *block, size_t size, unsigned seed)
{
    size_t i;
    for (i = 0; i < size; i++)
        if (((const unsigned char *)block)[i] != (unsigned char)(seed + i * 7))
            return 0;
    return 1;
}

static int zero(const void *block, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++)
        if (((const unsigned char *)block)[i] != 0)
            return 0;
    return 1;
}

static void malloc_aligns_every_size_for_any_object(void)
{
    size_t size;
    for (size = 0; size <= 65536; size++) {
        void *block = malloc(size), *zeroed = calloc(size, 1), *moved = realloc(malloc(1), size + 1);
        EXPECT(block && zeroed && moved);
        EXPECT(aligned(block, _Alignof(max_align_t)) && aligned(block, 16));
        EXPECT(aligned(zeroed, 16) && aligned(moved, 16));
        EXPECT(malloc_usable_size(block) >= size);
        free(block);
        free(zeroed);
        free(moved);
    }
}

static void malloc_of_zero_is_unique_and_can_be_freed(void)
{
    void *blocks[300];
    size_t i, j;
    for (i = 0; i < COUNT(blocks); i++) {
        blocks[i] = i % 3 == 0 ? malloc(0) : i % 3 == 1 ? calloc(0, 8) : calloc(8, 0);
        EXPECT(blocks[i] != NULL);
        for (j = 0; j < i; j++)
            EXPECT(blocks[i] != blocks[j]);
    }
    for (i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
}

static void more_than_ptrdiff_max_is_enomem(void)
{
    volatile size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX};
    size_t i;
    for (i = 0; i < COUNT(sizes); i++) {
        errno = BEFORE;
        EXPECT(malloc(sizes[i]) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(calloc(1, sizes[i]) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(realloc(NULL, sizes[i]) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(aligned_alloc(64, sizes[i]) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(memalign(64, sizes[i]) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(valloc(sizes[i]) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(pvalloc(sizes[i]) == NULL && errno == ENOMEM);
    }
}

static void success_leaves_errno_alone(void)
{
    size_t i;
    for (i = 0; i < COUNT(SIZES); i++) {
        void *block, *zeroed, *at = NULL;
        errno = BEFORE;
        block = malloc(SIZES[i]);
        zeroed = calloc(SIZES[i], 3);
        block = realloc(block, SIZES[i] * 2 + 1);
        EXPECT(block && zeroed && posix_memalign(&at, 64, SIZES[i]) == 0);
        free(block);
        free(zeroed);
        free(at);
        EXPECT(errno == BEFORE);
    }
}

static void free_preserves_errno(void)
{
    size_t i;
    for (i = 0; i < COUNT(SIZES); i++) {
        void *block = malloc(SIZES[i]);
        errno = BEFORE;
        free(block);
        EXPECT(errno == BEFORE);
    }
}

static void free_of_null_does_nothing(void)
{
    errno = BEFORE;
    free(NULL);
    EXPECT(errno == BEFORE);
}

static void calloc_is_zero_in_used_memory_too(void)
{
    size_t i, round;
    for (round = 0; round < 3; round++) {
        for (i = 0; i < COUNT(SIZES); i++) {
            unsigned char *block = calloc(SIZES[i], 1), *other = calloc(3, SIZES[i]);
            EXPECT(block && other && zero(block, SIZES[i]) && zero(other, 3 * SIZES[i]));
            memset(block, 0xA5, malloc_usable_size(block));
            memset(other, 0xA5, malloc_usable_size(other));
            free(block);
            free(other);
        }
    }
}

static void calloc_and_reallocarray_notice_overflow(void)
{
    volatile size_t factors[][2] = {{SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX / 2 + 1, 2}, {(size_t)1 << 32, (size_t)1 << 32}};
    void *block = malloc(100);
    size_t i;
    fill(block, 100, 3);
    for (i = 0; i < COUNT(factors); i++) {
        errno = BEFORE;
        EXPECT(calloc(factors[i][0], factors[i][1]) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(reallocarray(NULL, factors[i][0], factors[i][1]) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(reallocarray(block, factors[i][0], factors[i][1]) == NULL && errno == ENOMEM);
        EXPECT(filled(block, 100, 3));
    }
    free(block);
}

static void reallocarray_is_realloc_of_the_product(void)
{
    unsigned char *block = reallocarray(NULL, 10, 10);
    EXPECT(block && malloc_usable_size(block) >= 100);
    fill(block, 100, 9);
    block = reallocarray(block, 1000, 100);
    EXPECT(block && malloc_usable_size(block) >= 100000 && filled(block, 100, 9));
    free(block);
}

static void realloc_of_null_is_malloc(void)
{
    size_t i;
    for (i = 0; i < COUNT(SIZES); i++) {
        void *block = realloc(NULL, SIZES[i]);
        EXPECT(block != NULL && malloc_usable_size(block) >= SIZES[i]);
        fill(block, SIZES[i], 1);
        free(block);
    }
}

static void realloc_keeps_the_content_up_to_the_smaller_size(void)
{
    size_t i, j;
    for (i = 0; i < COUNT(SIZES); i++) {
        for (j = 1; j < COUNT(SIZES); j++) {
            void *block = malloc(SIZES[i]), *behind = malloc(100), *moved;
            EXPECT(block && behind);
            fill(block, SIZES[i], 5);
            moved = realloc(block, SIZES[j]);
            EXPECT(moved && malloc_usable_size(moved) >= SIZES[j]);
            EXPECT(filled(moved, SIZES[i] < SIZES[j] ? SIZES[i] : SIZES[j], 5));
            fill(moved, SIZES[j], 6);
            free(behind);
            free(moved);
        }
    }
}

static void a_failed_realloc_leaves_the_block(void)
{
    size_t i;
    for (i = 0; i < COUNT(SIZES); i++) {
        void *block = malloc(SIZES[i]);
        fill(block, SIZES[i], 8);
        errno = BEFORE;
        EXPECT(realloc(block, huge) == NULL && errno == ENOMEM);
        errno = BEFORE;
        EXPECT(realloc(block, PTRDIFF_MAX - 100000 + huge - SIZE_MAX) == NULL && errno == ENOMEM);
        EXPECT(filled(block, SIZES[i], 8));
        free(block);
    }
}

static void own_realloc_to_zero_frees(void)
{
    size_t before = mallinfo2().uordblks, i;
    for (i = 0; i < COUNT(SIZES); i++) {
        void *block = malloc(SIZES[i]), *other = malloc(SIZES[i]);
        errno = BEFORE;
        EXPECT(realloc(block, 0) == NULL && reallocarray(other, 0, 8) == NULL && errno == BEFORE);
    }
    EXPECT(mallinfo2().uordblks <= before + 1000);
}

static void aligned_alloc_aligns_to_any_power_of_two(void)
{
    size_t align, i;
    for (align = 1; align <= (size_t)4 << 20; align *= 2) {
        for (i = 0; i < COUNT(SIZES); i++) {
            void *block = aligned_alloc(align, SIZES[i]);
            EXPECT(block && aligned(block, align) && malloc_usable_size(block) >= SIZES[i]);
            fill(block, SIZES[i], 2);
            free(block);
        }
    }
}

static void own_aligned_alloc_refuses_other_alignments(void)
{
    volatile size_t aligns[] = {0, 3, 24, 100, SIZE_MAX, SIZE_MAX / 2 + 2};
    size_t i;
    for (i = 0; i < COUNT(aligns); i++) {
        errno = BEFORE;
        EXPECT(aligned_alloc(aligns[i], 64) == NULL && errno == EINVAL);
    }
}

static void own_posix_memalign_answers_and_leaves_errno_alone(void)
{
    char mark;
    void *place = &mark;
    volatile size_t wrong[] = {0, 1, 2, 3, sizeof(void *) / 2, sizeof(void *) + 1, sizeof(void *) * 3, SIZE_MAX};
    size_t align, i;
    errno = BEFORE;
    for (i = 0; i < COUNT(wrong); i++)
        EXPECT(posix_memalign(&place, wrong[i], 64) == EINVAL && place == &mark);
    EXPECT(posix_memalign(&place, 64, huge) == ENOMEM && place == &mark);
    EXPECT(posix_memalign(&place, (size_t)1 << (sizeof(size_t) * 8 - 1), 64) == ENOMEM && place == &mark);
    for (align = sizeof(void *); align <= 1 << 20; align *= 2) {
        for (i = 0; i < COUNT(SIZES); i++) {
            EXPECT(posix_memalign(&place, align, SIZES[i]) == 0);
            EXPECT(place && aligned(place, align));
            fill(place, SIZES[i], 2);
            free(place);
        }
    }
    EXPECT(errno == BEFORE);
}

static void realloc_takes_aligned_blocks(void)
{
    size_t align;
    for (align = 16; align <= 1 << 20; align *= 2) {
        void *block = aligned_alloc(align, 1000);
        EXPECT(block);
        fill(block, 1000, 4);
        block = realloc(block, 200000);
        EXPECT(block && filled(block, 1000, 4));
        free(block);
    }
}

static void memalign_rounds_the_alignment_up(void)
{
    size_t align, power = 1;
    for (align = 0; align <= 5000; align++) {
        void *block = memalign(align, 100);
        while (power < align)
            power *= 2;
        EXPECT(block && aligned(block, power));
        free(block);
    }
    errno = BEFORE;
    EXPECT(memalign(SIZE_MAX / 2 + 2, 1) == NULL && errno == EINVAL);
}

static void valloc_and_pvalloc_align_to_pages(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), i;
    for (i = 0; i < COUNT(SIZES); i++) {
        void *block = valloc(SIZES[i]), *whole = pvalloc(SIZES[i]);
        EXPECT(block && whole && aligned(block, page) && aligned(whole, page));
        EXPECT(malloc_usable_size(whole) >= (SIZES[i] + page - 1) / page * page);
        fill(block, SIZES[i], 1);
        free(block);
        free(whole);
    }
}

static void every_usable_byte_can_be_used(void)
{
    static void *blocks[3000];
    size_t i;
    EXPECT(malloc_usable_size(NULL) == 0);
    for (i = 0; i < COUNT(blocks); i++) {
        blocks[i] = malloc(i * i % 40009);
        EXPECT(blocks[i]);
        fill(blocks[i], malloc_usable_size(blocks[i]), (unsigned)i);
    }
    for (i = 0; i < COUNT(blocks); i++) {
        EXPECT(filled(blocks[i], malloc_usable_size(blocks[i]), (unsigned)i));
        free(blocks[i]);
    }
}

static void own_sized_frees_take_what_was_asked_for(void)
{
    size_t size, align;
    for (size = 0; size <= 65536; size += 1 + size / 50) {
        void *grown = realloc(malloc(size / 3), size + 1);
        errno = BEFORE;
        free_sized(malloc(size), size);
        free_sized(calloc(size, 1), size);
        free_sized(grown, size + 1);
        for (align = 1; align <= 65536; align *= 4)
            free_aligned_sized(aligned_alloc(align, size), align, size);
        EXPECT(errno == BEFORE);
    }
    free_sized(NULL, 100);
    free_aligned_sized(NULL, 64, 100);
}

static void own_malloc_trim_says_whether_it_gave_back(void)
{
    static void *blocks[64];
    size_t i;
    for (i = 0; i < COUNT(blocks); i++)
        blocks[i] = malloc(10000);
    for (i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
    EXPECT(malloc_trim(0) == 1);
    EXPECT(malloc_trim(0) == 0);
}

static void own_mallinfo2_counts_what_is_in_use(void)
{
    size_t before = mallinfo2().uordblks;
    void *block = malloc(1000);
    struct mallinfo2 now = mallinfo2();
    EXPECT(now.uordblks >= before + 1000 && now.uordblks <= before + 1200);
    EXPECT(now.arena + now.hblkhd >= now.uordblks);
    free(block);
    EXPECT(mallinfo2().uordblks <= before + 100);
}

/* glibc has both, but not every field for both: those are compared that this heap fills in. */
static void own_mallinfo_is_mallinfo2(void)
{
    void *blocks[100];
    struct mallinfo old;
    struct mallinfo2 wide;
    size_t i;
    for (i = 0; i < COUNT(blocks); i++)
        blocks[i] = malloc(i * 1000);
    for (i = 0; i < COUNT(blocks); i += 2)
        free(blocks[i]);
    old = mallinfo();
    wide = mallinfo2();
    EXPECT(old.uordblks >= 50 * 50000 - 50000 && (size_t)old.arena >= (size_t)old.uordblks + (size_t)old.fordblks / 2);
    EXPECT((size_t)old.arena == wide.arena && (size_t)old.ordblks == wide.ordblks && (size_t)old.smblks == wide.smblks);
    EXPECT((size_t)old.hblks == wide.hblks && (size_t)old.hblkhd == wide.hblkhd && (size_t)old.usmblks == wide.usmblks);
    EXPECT((size_t)old.fsmblks == wide.fsmblks && (size_t)old.uordblks == wide.uordblks);
    EXPECT((size_t)old.fordblks == wide.fordblks && (size_t)old.keepcost == wide.keepcost);
    for (i = 1; i < COUNT(blocks); i += 2)
        free(blocks[i]);
}

/* More than an int can hold, none of it touched. */
static void own_mallinfo_does_not_wrap(void)
{
    void *blocks[20];
    size_t i;
    for (i = 0; i < COUNT(blocks); i++)
        EXPECT((blocks[i] = malloc((size_t)128 << 20)) != NULL);
    EXPECT(mallinfo().uordblks == INT_MAX && mallinfo2().uordblks >= (size_t)20 * (128 << 20));
    for (i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
    malloc_trim(0);
    EXPECT(mallinfo().uordblks < INT_MAX && mallinfo().uordblks >= 0);
}

/* The stream allocates while it is written to. */
static void malloc_info_writes_to_a_stream_that_allocates(void)
{
    char *text = NULL, *kept = malloc(100000);
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    EXPECT(stream && malloc_info(0, stream) == 0 && fclose(stream) == 0);
    EXPECT(size > 100 && strncmp(text, "<malloc version=\"1\">\n", 21) == 0 && strcmp(text + size - 10, "</malloc>\n") == 0);
    free(text);
    free(kept);
}

static void malloc_info_knows_no_options(void)
{
    EXPECT(malloc_info(1, stdout) == EINVAL && malloc_info(-1, stdout) == EINVAL);
}

static void own_malloc_info_says_that_it_was_not_written(void)
{
    FILE *full = fopen("/dev/full", "w");
    EXPECT(full && setvbuf(full, NULL, _IONBF, 0) == 0);
    errno = BEFORE;
    EXPECT(malloc_info(0, full) == -1 && errno == ENOSPC);
    fclose(full);
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t), *__libc_valloc(size_t), *__libc_pvalloc(size_t);
extern void __libc_free(void *);
extern int __libc_mallopt(int, int);
extern int __posix_memalign(void **, size_t, size_t) __attribute__((weak));
extern void cfree(void *) __attribute__((weak));

static void the_names_of_glibc_are_the_same_heap(void)
{
    size_t i;
    for (i = 0; i < COUNT(SIZES); i++) {
        void *blocks[] = {__libc_malloc(SIZES[i]), __libc_calloc(SIZES[i], 1), __libc_realloc(malloc(7), SIZES[i] + 1),
            __libc_memalign(256, SIZES[i]), __libc_valloc(SIZES[i]), __libc_pvalloc(SIZES[i])};
        size_t j;
        for (j = 0; j < COUNT(blocks); j++) {
            EXPECT(blocks[j] && malloc_usable_size(blocks[j]) >= SIZES[i]);
            EXPECT(aligned(blocks[j], j < 3 ? 16 : j == 3 ? 256 : (size_t)sysconf(_SC_PAGESIZE)));
            EXPECT(j != 1 || zero(blocks[j], SIZES[i]));
            blocks[j] = j % 2 ? realloc(blocks[j], SIZES[i] + 100) : __libc_realloc(blocks[j], SIZES[i] + 100);
            free(blocks[j]);
        }
        __libc_free(malloc(SIZES[i]));
        __libc_free(aligned_alloc(64, SIZES[i]));
    }
    __libc_free(NULL);
    EXPECT(__libc_mallopt(M_MMAP_MAX, 10) == 1);
    errno = BEFORE;
    EXPECT(__libc_malloc(huge) == NULL && errno == ENOMEM);
}

static void own_old_names_of_glibc_are_the_same_heap(void)
{
    void *block = NULL;
    EXPECT(__posix_memalign && __posix_memalign(&block, 512, 1000) == 0 && aligned(block, 512));
    free(block);
    EXPECT(cfree && __posix_memalign(&block, 3, 1000) == EINVAL);
    cfree(malloc(1000));
    cfree(NULL);
}

static void mallopt_accepts_settings(void)
{
    EXPECT(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1 && mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
    EXPECT(mallopt(M_ARENA_MAX, 1) == 1 && mallopt(M_PERTURB, 0) == 1);
}

static void libc_hands_out_blocks_for_free(void)
{
    char *text = strdup("a text"), *printed = NULL, *line = NULL, *path = realpath("/", NULL), *stream = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&stream, &size);
    EXPECT(text && path && memory && asprintf(&printed, "%d", 42) == 2);
    EXPECT(fputs("into memory", memory) >= 0 && fclose(memory) == 0 && strcmp(stream, "into memory") == 0);
    memory = fmemopen(stream, 11, "r");
    size = 0;
    EXPECT(memory && getline(&line, &size, memory) == 11 && fclose(memory) == 0);
    free(text);
    free(printed);
    free(line);
    free(path);
    free(stream);
}

static void *allocate_for_others(void *given)
{
    void **blocks = given;
    size_t i, round;
    for (round = 0; round < 50; round++)
        for (i = 0; i < 100; i++) {
            blocks[i] = realloc(blocks[i], (i * 37 + round * 101) % 5000 + 1);
            if (blocks[i] == NULL)
                return NULL;
            ((char *)blocks[i])[0] = (char)i;
        }
    return given;
}

static void blocks_cross_threads(void)
{
    static void *blocks[8][100];
    pthread_t threads[8];
    size_t i, j;
    for (i = 0; i < 8; i++)
        EXPECT(pthread_create(&threads[i], NULL, allocate_for_others, blocks[i]) == 0);
    for (i = 0; i < 8; i++) {
        void *result;
        EXPECT(pthread_join(threads[i], &result) == 0 && result == blocks[i]);
        for (j = 0; j < 100; j++) {
            EXPECT(((char *)blocks[i][j])[0] == (char)j);
            free(blocks[i][j]);
        }
    }
}

static void a_small_stack_is_enough(void)
{
    static void *blocks[100];
    pthread_attr_t attributes;
    pthread_t thread;
    void *result;
    EXPECT(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 16384) == 0);
    EXPECT(pthread_create(&thread, &attributes, allocate_for_others, blocks) == 0);
    EXPECT(pthread_join(thread, &result) == 0 && result == blocks);
}

/* Written before main; and freed after it, when the standard streams are closed. */
static char *early;

__attribute__((constructor(101))) static void before_main(void)
{
    early = calloc(3, 33);
    free(malloc(70000));
}

__attribute__((destructor(101))) static void after_main(void)
{
    early = realloc(early, 100000);
    if (early == NULL)
        _exit(3);
    free(early);
}

static void in_atexit(void)
{
    free(malloc(100));
}

static void it_works_before_main_and_at_exit(void)
{
    int i;
    EXPECT(early != NULL && zero(early, 99));
    /* More of them than libc has room for without allocating. */
    for (i = 0; i < 100; i++)
        EXPECT(atexit(in_atexit) == 0);
}

static void closed_standard_streams_do_no_harm(void)
{
    void *block = malloc(100);
    EXPECT(block);
    fclose(stdin);
    fclose(stdout);
    fclose(stderr);
    malloc_stats();
    free(block);
    free(malloc(100000));
}

/* The control: this one is broken everywhere. */
static void control(void)
{
    void *block = malloc(10);
    EXPECT(block == NULL);
}

int main(int argc, char **argv)
{
    static const struct named cases[] = {
        CASE(malloc_aligns_every_size_for_any_object),
        CASE(malloc_of_zero_is_unique_and_can_be_freed),
        CASE(more_than_ptrdiff_max_is_enomem),
        CASE(success_leaves_errno_alone),
        CASE(free_preserves_errno),
        CASE(free_of_null_does_nothing),
        CASE(calloc_is_zero_in_used_memory_too),
        CASE(calloc_and_reallocarray_notice_overflow),
        CASE(reallocarray_is_realloc_of_the_product),
        CASE(realloc_of_null_is_malloc),
        CASE(realloc_keeps_the_content_up_to_the_smaller_size),
        CASE(a_failed_realloc_leaves_the_block),
        CASE(own_realloc_to_zero_frees),
        CASE(aligned_alloc_aligns_to_any_power_of_two),
        CASE(own_aligned_alloc_refuses_other_alignments),
        CASE(own_posix_memalign_answers_and_leaves_errno_alone),
        CASE(realloc_takes_aligned_blocks),
        CASE(memalign_rounds_the_alignment_up),
        CASE(valloc_and_pvalloc_align_to_pages),
        CASE(every_usable_byte_can_be_used),
        CASE(own_sized_frees_take_what_was_asked_for),
        CASE(own_malloc_trim_says_whether_it_gave_back),
        CASE(own_mallinfo2_counts_what_is_in_use),
        CASE(own_mallinfo_is_mallinfo2),
        CASE(own_mallinfo_does_not_wrap),
        CASE(malloc_info_writes_to_a_stream_that_allocates),
        CASE(malloc_info_knows_no_options),
        CASE(own_malloc_info_says_that_it_was_not_written),
        CASE(the_names_of_glibc_are_the_same_heap),
        CASE(own_old_names_of_glibc_are_the_same_heap),
        CASE(mallopt_accepts_settings),
        CASE(libc_hands_out_blocks_for_free),
        CASE(blocks_cross_threads),
        CASE(a_small_stack_is_enough),
        CASE(it_works_before_main_and_at_exit),
        CASE(closed_standard_streams_do_no_harm),
        CASE(control),
    };
    int status = run_named(cases, COUNT(cases), argc, argv);
    if (getenv("EXPECT_HMALLOC") != NULL)
        EXPECT(hmalloc_check && hmalloc_check() == 0);
    return status;
}
