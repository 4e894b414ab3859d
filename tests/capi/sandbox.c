/* Filters that kill: on what this heap can do without, and on everything that its documentation does not list. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"

enum { SMALL = 400000, LISTED = 16 };

extern int malloc_trim(size_t);

static atomic_int ready, go, ended;

/* Puts a filter around all threads, which answers the listed calls with `listed` and all others with `other`. */
static void filter(const int *calls, int count, unsigned listed, unsigned other)
{
    struct sock_filter steps[2 * LISTED + 2] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    struct sock_fprog program = {(unsigned short)(2 * count + 2), steps};
    int i;
    for (i = 0; i < count; i++) {
        steps[1 + 2 * i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        steps[2 + 2 * i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
    }
    steps[1 + 2 * count] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

static void kill_on(int call) { filter(&call, 1, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW); }

/* What capi/README.md lists, and what ends the program. */
static void allow_listed(int threads)
{
    static const int calls[] = {SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_prctl, SYS_gettid, SYS_write,
                                SYS_exit_group, SYS_futex, SYS_getpid};
    filter(calls, threads ? 10 : 8, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
}

/* 100 MB of small blocks freed in stripes, large ones grown and shrunk, zeroed ones, trims. */
static void use_the_heap(void)
{
    static _Thread_local char *blocks[SMALL];
    char *large = malloc(1000);
    int i;
    for (i = 0; i < SMALL; i++)
        EXPECT((blocks[i] = malloc(256)) != NULL && memset(blocks[i], 0xEE, 256));
    for (i = 0; i < SMALL; i++)
        if (i / 5000 % 2 == 0)
            free(blocks[i]);
    /* Another thread's trim may have come before, and have returned what this one has freed as well. */
    EXPECT(malloc_trim(0) == 1 || atomic_load(&go));
    for (i = 20; i < 26; i++) {
        EXPECT((large = realloc(large, (size_t)1 << i)) != NULL && memset(large, 0xEE, (size_t)1 << i));
        EXPECT((large = realloc(large, 3000000)) != NULL);
    }
    free(large);
    for (i = 0; i < 20; i++) {
        char *zero = calloc(1, 1000000);
        EXPECT(zero != NULL && zero[0] == 0 && memcmp(zero, zero + 1, 999999) == 0);
        free(memset(zero, 0xEE, 1000000));
    }
    for (i = 0; i < SMALL; i++)
        if (i / 5000 % 2 == 1)
            free(blocks[i]);
    malloc_trim(0);
    EXPECT(hmalloc_check == NULL || hmalloc_check() == 0);
}

static void *in_a_thread(void *unused)
{
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&go)) {}
    use_the_heap();
    atomic_fetch_add(&ended, 1);
    /* The end of a thread is libc's, and takes calls of its own. */
    for (;;) {}
    return unused;
}

static void in_threads(void (*restrict_them)(void))
{
    pthread_t thread;
    int i;
    for (i = 0; i < 2; i++)
        EXPECT(pthread_create(&thread, NULL, in_a_thread, NULL) == 0);
    while (atomic_load(&ready) != 2) {}
    restrict_them();
    atomic_store(&go, 1);
    use_the_heap();
    while (atomic_load(&ended) != 2) {}
    _exit(0);
}

static void without_madvise(void) { kill_on(SYS_madvise); }
static void with_listed(void) { allow_listed(1); }

static void madvise_kills(void)
{
    without_madvise();
    use_the_heap();
    _exit(0);
}

static void all_but_what_is_listed_kills(void)
{
    allow_listed(0);
    use_the_heap();
    _exit(0);
}

static void madvise_kills_threads(void) { in_threads(without_madvise); }
static void all_but_what_is_listed_kills_threads(void) { in_threads(with_listed); }

/* The control. */
static void a_call_that_is_not_listed_kills(void)
{
    allow_listed(1);
    getppid();
    _exit(0);
}

int main(int argc, char **argv)
{
    static const struct named cases[] = {
        CASE(madvise_kills),
        CASE(all_but_what_is_listed_kills),
        CASE(madvise_kills_threads),
        CASE(all_but_what_is_listed_kills_threads),
        CASE(a_call_that_is_not_listed_kills),
    };
    if (argc > 1)
        alarm(300);
    return run_named(cases, COUNT(cases), argc, argv);
}
