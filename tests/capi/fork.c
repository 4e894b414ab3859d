/* Forks while other threads are in the middle of the heap. Each child allocates, and starts a thread that does.
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

__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = register_first;

static void *busy(void *seed)
{
    while (!atomic_load(&done))
        use_the_heap((unsigned)(uintptr_t)seed, 100);
    return NULL;
}

static void *in_the_child(void *seed)
{
    use_the_heap((unsigned)(uintptr_t)seed, 50);
    return seed;
}

static void child(uintptr_t number)
{
    pthread_t thread;
    void *result;
    alarm(60);
    use_the_heap((unsigned)number, 50);
    EXPECT(pthread_create(&thread, NULL, in_the_child, (void *)number) == 0);
    EXPECT(pthread_join(thread, &result) == 0 && result == (void *)number);
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
    EXPECT(hmalloc_check == NULL || hmalloc_check() == 0);
    /* Before and after each fork, from both registrations. */
    EXPECT((uintptr_t)atomic_load(&handled) == times / FORKING * FORKING * 4);
    printf("%lu forks\n", (unsigned long)(times / FORKING * FORKING));
    return 0;
}
