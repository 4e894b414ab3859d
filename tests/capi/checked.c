/* Mistakes that only checked mode finds, one for each name; and what is right. The line that is expected, with * for numbers,
   or a signal, is printed first. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile char *block;

static void expect(const char *text) {
    printf("expected %s\n", text);
    fflush(stdout);
}

static void after(void) {
    expect("free: 1 byte after the block of 24 bytes at 0x* was overwritten (at offset 24), allocated by the first thread");
    block = malloc(24);
    block[24] = 0;
    free((void *)block);
}

static void before(void) {
    expect("free: 1 byte before the block of 24 bytes at 0x* was overwritten (at offset -1), allocated by the first thread");
    block = malloc(24);
    block[-1] = 0;
    free((void *)block);
}

static void header(void) {
    expect("free: 8 bytes before the block of 24 bytes at 0x* were overwritten (the first at offset -8), allocated by the first thread");
    block = malloc(24);
    ((volatile size_t *)block)[-1] = 33;
    free((void *)block);
}

static void after_large(void) {
    expect("free: 1 byte after the block of 100000 bytes at 0x* was overwritten (at offset 100000), allocated by the first thread");
    block = aligned_alloc(4096, 100000);
    block[100000] = 1;
    free((void *)block);
}

static void before_large(void) {
    expect("free: 1 byte before the block of 100000 bytes at 0x* was overwritten (at offset -1), allocated by the first thread");
    block = malloc(100000);
    block[-1] = 1;
    free((void *)block);
}

static void freed_and_used(void) {
    expect("malloc: 1 byte of the free block of 24 bytes at 0x* was overwritten (at offset 3), allocated by the first thread, freed by the first thread");
    block = malloc(24);
    free((void *)block);
    block[3] = 1;
    for (int i = 0; i < 10000; i++)
        if (!malloc(24))
            return;
}

static void freed_and_not_used_again(void) {
    expect("exit: 1 byte of the free block of 24 bytes at 0x* was overwritten (at offset 3), allocated by the first thread, freed by the first thread");
    char *volatile other = malloc(25);
    block = malloc(24);
    free((void *)block);
    block[3] = 1;
    (void)other;
}

static void at_exit(void) {
    expect("exit: 1 byte after the block of 5 bytes at 0x* was overwritten (at offset 5), allocated by the first thread");
    block = malloc(5);
    block[5] = 1;
}

static void resized(void) {
    expect("realloc: 1 byte after the block of 10 bytes at 0x* was overwritten (at offset 10), allocated by the first thread");
    block = realloc(malloc(24), 10);
    block[10] = 0;
    block = realloc((void *)block, 1000);
}

static void freed_large(void) {
    expect("fault: 0x* is 5 bytes into 100000 freed bytes at 0x*, allocated by the first thread, freed by the first thread");
    block = malloc(100000);
    free((void *)block);
    printf("%d\n", block[5]);
}

static void nothing(void) {
    expect("fault: 0x* is 3 bytes after the end of 0 used bytes at 0x*");
    block = malloc(0);
    printf("%d\n", block[3]);
}

static void handler(int signal) {
    static const char line[] = "the program's handler\n";
    write(2, line, sizeof line - 1);
    _exit(signal);
}

/* A handler of the program's from before the mode cannot be; one that is set later has the signal alone. */
static void handled(void) {
    expect("handled");
    signal(SIGSEGV, handler);
    nothing();
}

static void *elsewhere(void *argument) {
    (void)argument;
    free((void *)block);
    return NULL;
}

static void by_another_thread(void) {
    expect("free: 1 byte after the block of 24 bytes at 0x* was overwritten (at offset 24), allocated by the first thread");
    pthread_t thread;
    block = malloc(24);
    block[24] = 0;
    pthread_create(&thread, NULL, elsewhere, NULL);
    pthread_join(thread, NULL);
}

static void in_a_child(void) {
    expect("free: 1 byte after the block of 24 bytes at 0x* was overwritten (at offset 24), allocated by the first thread");
    block = malloc(24);
    char before = block[24];
    block[24] = 0;
    int status;
    pid_t child = fork();
    if (child == 0) {
        free((void *)block);
        _exit(0);
    }
    /* Or the parent's would be named, too, when that ends. */
    block[24] = before;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        abort();
}

static void damaged(void) {
    block = malloc(5);
    block[5] = 1;
}

/* The ways to end that run no handler of exit. What is expected is said by the test. */
static void ends_by__exit(void) {
    damaged();
    _exit(3);
}

static void ends_by__Exit(void) {
    damaged();
    _Exit(3);
}

static void ends_by_quick_exit(void) {
    damaged();
    quick_exit(3);
}

static void ends_by_abort(void) {
    damaged();
    abort();
}

static void ends_by_term(void) {
    damaged();
    kill(getpid(), SIGTERM);
}

static void ends_by_segv(void) {
    damaged();
    *(volatile int *)8 = 1;
}

/* A child that shares the parent's memory looks at nothing; then the parent dies of a signal while all threads allocate. */
static void *busy(void *argument) {
    for (;;)
        free(malloc(100000));
    return argument;
}

static void ends_while_busy(void) {
    pthread_t thread;
    if (vfork() == 0)
        _exit(0);
    pthread_create(&thread, NULL, busy, NULL);
    alarm(1);
    busy(NULL);
}

static void right(void) {
    expect("nothing");
    for (int i = 0; i < 3000; i++) {
        char *one = malloc(i), *two = calloc(i + 1, 1), *three = NULL;
        if (malloc_usable_size(one) != (size_t)i || posix_memalign((void **)&three, 64, i))
            abort();
        memset(one, 1, malloc_usable_size(one));
        for (int j = 0; j <= i; j++)
            if (two[j])
                abort();
        memset(three, 2, i);
        one = realloc(one, i * 2 + 1);
        memset(one, 3, i * 2 + 1);
        free(one);
        free(two);
        free(three);
    }
}

static _Atomic(char *) kept[16];
static atomic_int signals;

/* Interrupts the heap anywhere, frees what was allocated before and between, and allocates. */
static void handle(int signal) {
    (void)signal;
    for (int i = 0; i < 16; i++) {
        size_t size = (signals * 37 + i * 91) % 3000;
        char *new = malloc(size);
        memset(new, 1, size);
        free(atomic_exchange(&kept[i], new));
    }
    free(realloc(malloc(70000), 90000));
    signals++;
}

static void *allocate_on(void *argument) {
    for (int i = 1; signals < 100; i++) {
        char *small = malloc(i % 4000), *large = i % 8 ? NULL : malloc(80000 + i % 100000);
        memset(small, 2, i % 4000);
        small = realloc(small, i * 7 % 3000 + 1);
        free(large);
        free(small);
    }
    return argument;
}

static void handlers_beside(int threads) {
    expect("nothing");
    pthread_t others[4];
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    /* Whoever hangs is killed. The timer counts processor time, of which a busy machine gives little. */
    alarm(300);
    signal(SIGPROF, handle);
    for (int i = 0; i < threads; i++)
        pthread_create(&others[i], NULL, allocate_on, NULL);
    setitimer(ITIMER_PROF, &often, NULL);
    allocate_on(NULL);
    for (int i = 0; i < threads; i++)
        pthread_join(others[i], NULL);
    setitimer(ITIMER_PROF, &never, NULL);
}

static void in_a_handler(void) {
    handlers_beside(0);
}

static void in_handlers_of_threads(void) {
    handlers_beside(2);
}

#define CASE(name) {#name, name}
static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {CASE(after), CASE(before), CASE(header), CASE(after_large), CASE(before_large), CASE(freed_and_used),
             CASE(freed_and_not_used_again), CASE(at_exit), CASE(resized), CASE(freed_large), CASE(nothing), CASE(handled),
             CASE(by_another_thread), CASE(in_a_child), CASE(in_a_handler),
             CASE(in_handlers_of_threads), CASE(right)};
/* Not in the list. */
static const struct {
    const char *name;
    void (*run)(void);
} ends[] = {CASE(ends_by__exit), CASE(ends_by__Exit), CASE(ends_by_quick_exit), CASE(ends_by_abort), CASE(ends_by_term),
            CASE(ends_by_segv), CASE(ends_while_busy)};

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc < 2)
            puts(cases[i].name);
        else if (!strcmp(argv[1], cases[i].name))
            cases[i].run();
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (argc > 1 && !strcmp(argv[1], ends[i].name))
            ends[i].run();
    return 0;
}
