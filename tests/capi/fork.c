/* Forks while other threads are in the middle of the heap. Each child allocates, frees blocks of threads that it does not
 * have, and starts a thread that does the same.
 *
 *     fork TIMES
 *
 * Fork handlers of the program's own allocate, too: some registered as usual, and some before anything else in the process
 * could register any. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "blocks.h"

enum { BUSY = 4, FORKING = 2 };

static atomic_int done;
static atomic_int handled;

static void handler(void)
{
    free(malloc(100));
    free(malloc(50000));
    atomic_fetch_add(&handled, 1);
}

static void register_first(void)
{
    if (pthread_atfork(handler, handler, handler) != 0)
        _exit(5);
}

/* Static musl runs no such functions: there it is the first constructor. */
#ifdef __GLIBC__
__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = register_first;
#else
__attribute__((constructor)) static void constructed(void) { register_first(); }
#endif

/* Blocks that whoever comes next frees. */
static _Atomic(void *) places[32];

static void exchange(unsigned number)
{
    void *block = malloc(number % 500 + 1);
    EXPECT(block != NULL);
    free(atomic_exchange(&places[number % COUNT(places)], block));
}

static void clear(void)
{
    size_t i;
    for (i = 0; i < COUNT(places); i++)
        free(atomic_exchange(&places[i], NULL));
}

static void *busy(void *seed)
{
    unsigned number = (unsigned)(uintptr_t)seed, round;
    for (round = 1; !atomic_load(&done); round++) {
        use_the_heap(number, 100);
        if (round % 64 == 0)
            exchange((number = number * 1103515245 + 12345) >> 16);
    }
    return NULL;
}

static void *in_the_child(void *seed)
{
    use_the_heap((unsigned)(uintptr_t)seed, 50);
    exchange((unsigned)(uintptr_t)seed);
    return seed;
}

static void child(uintptr_t number)
{
    pthread_t thread;
    void *result;
    alarm(60);
    clear();
    use_the_heap((unsigned)number, 50);
    EXPECT(pthread_create(&thread, NULL, in_the_child, (void *)number) == 0);
    EXPECT(pthread_join(thread, &result) == 0 && result == (void *)number);
    clear();
    EXPECT(hmalloc_check == NULL || hmalloc_check() == 0);
    _exit(0);
}

static void *forking(void *times)
{
    uintptr_t i;
    for (i = 1; i <= (uintptr_t)times; i++) {
        int status;
        pid_t process = fork();
        EXPECT(process >= 0);
        if (process == 0)
            child(i);
        EXPECT(waitpid(process, &status, 0) == process);
        EXPECT(status == 0);
        use_the_heap((unsigned)i, 10);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[BUSY + FORKING];
    uintptr_t i, times = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    alarm(580);
    EXPECT(pthread_atfork(handler, handler, handler) == 0);
    for (i = 0; i < BUSY; i++)
        EXPECT(pthread_create(&threads[i], NULL, busy, (void *)(i + 1)) == 0);
    for (i = 0; i < FORKING; i++)
        EXPECT(pthread_create(&threads[BUSY + i], NULL, forking, (void *)(times / FORKING)) == 0);
    for (i = 0; i < FORKING; i++)
        EXPECT(pthread_join(threads[BUSY + i], NULL) == 0);
    atomic_store(&done, 1);
    for (i = 0; i < BUSY; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    clear();
    EXPECT(hmalloc_check == NULL || hmalloc_check() == 0);
    /* Before and after each fork, from both registrations. */
    EXPECT((uintptr_t)atomic_load(&handled) == times / FORKING * FORKING * 4);
    printf("%lu forks\n", (unsigned long)(times / FORKING * FORKING));
    return 0;
}
