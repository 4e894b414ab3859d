/* A system that refuses: one refusal for each case. Compiled with FAMILY it uses hmalloc.h and the archive. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"

#ifdef FAMILY
#define malloc hmalloc
#define free hfree
#define realloc hrealloc
extern void *hmalloc(size_t);
extern void hfree(void *);
extern void *hrealloc(void *, size_t);
#endif

#define MIB ((size_t)1 << 20)
enum { BLOCKS = 2000 };

static char *blocks[BLOCKS];

static size_t size_of(size_t number)
{
    return number % 7 == 0 ? 30000 + number * 13 : number % 500 + 1;
}

/* Whether another set of blocks could be had and holds what is written to it. All of it is freed. */
static int can_be_used(void)
{
    size_t i, got = 0;
    for (i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        if (blocks[i] != NULL)
            memset(blocks[i], (int)i, size_of(i));
        else
            EXPECT(errno == ENOMEM);
    }
    for (i = 0; i < BLOCKS; i++) {
        if (blocks[i] == NULL)
            continue;
        EXPECT(blocks[i][0] == (char)i && blocks[i][size_of(i) - 1] == (char)i);
        free(blocks[i]);
        got++;
    }
    EXPECT(hmalloc_check() == 0);
    return got == BLOCKS;
}

/* Nothing more can be had; what there was is whole, and can be freed. */
static void is_refused_cleanly(void)
{
    static char *small[100000];
    char *block = malloc(1000);
    size_t i, count = 0;
    if (block != NULL)
        memset(block, 0x5A, 1000);
    errno = 0;
    EXPECT(malloc(512 * MIB) == NULL && errno == ENOMEM);
    EXPECT(block == NULL || (realloc(block, 512 * MIB) == NULL && block[0] == 0x5A && block[999] == 0x5A));
    EXPECT(hmalloc_check() == 0);
    while (count < 100000 && (small[count] = malloc(5000)) != NULL)
        memset(small[count++], 1, 5000);
    EXPECT(count < 100000 && errno == ENOMEM && hmalloc_check() == 0);
    for (i = 0; i < count; i++)
        free(small[i]);
    free(block);
    EXPECT(hmalloc_check() == 0);
}

static uintptr_t program_break(void)
{
    return (uintptr_t)syscall(SYS_brk, 0);
}

static int break_moves(void)
{
    uintptr_t now = program_break();
    int moved = (uintptr_t)syscall(SYS_brk, now + 4 * MIB) == now + 4 * MIB;
    if (moved)
        syscall(SYS_brk, now);
    return moved;
}

static void a_mapping_above_the_break(void)
{
    uintptr_t next = (program_break() + 4095) / 4096 * 4096;
    void *wanted = (void *)(next + 16 * 4096);
    EXPECT(mmap(wanted, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == wanted);
    EXPECT(!break_moves());
    EXPECT(can_be_used() && can_be_used());
}

/* From now on the kernel answers with an error number to these calls. */
static void refuse(int also_mmap)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_brk, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, also_mmap ? SYS_mmap : SYS_brk, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    EXPECT(syscall(SYS_brk, 0) == -1 && errno == EPERM);
}

static void seccomp_refuses_the_break(void)
{
    refuse(0);
    EXPECT(can_be_used() && can_be_used());
}

static void seccomp_refuses_both(void)
{
    refuse(1);
    is_refused_cleanly();
}

static void seccomp_refuses_both_later(void)
{
    EXPECT(can_be_used());
    refuse(1);
    is_refused_cleanly();
    can_be_used();
}

static void limit(int resource, rlim_t bytes)
{
    struct rlimit limits;
    EXPECT(getrlimit(resource, &limits) == 0);
    limits.rlim_cur = bytes;
    EXPECT(setrlimit(resource, &limits) == 0);
}

static void limited(int resource, rlim_t bytes)
{
    EXPECT(can_be_used());
    limit(resource, bytes);
    is_refused_cleanly();
    limit(resource, RLIM_INFINITY);
    EXPECT(can_be_used());
}

static void limited_data(void) { limited(RLIMIT_DATA, 40 * MIB); }
static void data_limited_below_what_is_used(void) { limited(RLIMIT_DATA, 4096); }
static void limited_address_space(void) { limited(RLIMIT_AS, 200 * MIB); }

static void someone_else_moves_the_break(void)
{
    int round;
    for (round = 0; round < 30; round++) {
        char *theirs = sbrk(round % 3 == 0 ? 12345 : 300000);
        EXPECT(theirs != (void *)-1);
        memset(theirs, 0x77, 12345);
        if (round % 4 == 0)
            EXPECT(sbrk(-12345) != (void *)-1);
        EXPECT(can_be_used());
        EXPECT(round % 4 == 0 || (theirs[0] == 0x77 && theirs[12344] == 0x77));
    }
}

/* The sum over all pages: what statm has may be some MiB off, more with more processors. */
static size_t resident(void)
{
    unsigned long kibibytes = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    EXPECT(file && fscanf(file, "%*[^\n] Rss: %lu", &kibibytes) == 1);
    fclose(file);
    return kibibytes * (size_t)1024;
}

/* The break cannot come down below a live block, but memory below it can be returned. */
static void a_block_pins_the_top(void)
{
    static char *large[300];
    size_t i, before = resident();
    char *pin;
    for (i = 0; i < 300; i++) {
        large[i] = malloc(MIB);
        EXPECT(large[i]);
        memset(large[i], 1, MIB);
    }
    pin = malloc(MIB);
    EXPECT(pin && resident() >= before + 300 * MIB);
    for (i = 0; i < 300; i++)
        free(large[i]);
    EXPECT(resident() < before + 40 * MIB);
    free(pin);
    EXPECT(hmalloc_check() == 0);
}

/* For emulators, whose break is small. */
static void a_heap_of_one_gib(void)
{
    static char *large[1024];
    size_t i;
    for (i = 0; i < 1024; i++) {
        large[i] = malloc(MIB);
        EXPECT(large[i]);
        large[i][0] = large[i][MIB - 1] = (char)i;
    }
    EXPECT(hmalloc_check() == 0);
    for (i = 0; i < 1024; i++) {
        EXPECT(large[i][0] == (char)i && large[i][MIB - 1] == (char)i);
        free(large[i]);
    }
    EXPECT(can_be_used());
}

int main(int argc, char **argv)
{
    static const struct named cases[] = {
        CASE(a_mapping_above_the_break),
        CASE(seccomp_refuses_the_break),
        CASE(seccomp_refuses_both),
        CASE(seccomp_refuses_both_later),
        CASE(limited_data),
        CASE(data_limited_below_what_is_used),
        CASE(limited_address_space),
        CASE(someone_else_moves_the_break),
        CASE(a_block_pins_the_top),
        CASE(a_heap_of_one_gib),
    };
    return run_named(cases, COUNT(cases), argc, argv);
}
