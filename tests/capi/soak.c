/* Mixed load: eight threads allocate and free each other's blocks, one forks, one executes programs, and signals arrive.
 * In the end everything is freed, and the break has to come back.
 *
 *     soak SECONDS
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "expect.h"

enum { THREADS = 8, SLOTS = 2000 };

struct block {
    size_t size;
    unsigned char mark, bytes[];
};

static _Atomic(struct block *) slots[SLOTS];
static atomic_ulong calls, forks, programs;
static atomic_long signals;
/* Each thread comes to its work once, however late a busy machine has let it begin. */
static time_t end;
/* libc's own blocks for the threads are there before the heap is full of others: one of them may pin the break. */
static pthread_barrier_t ready;

static void on_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&signals, 1);
}

static void release(struct block *block)
{
    if (block == NULL)
        return;
    EXPECT(block->bytes[0] == block->mark && block->bytes[block->size - 1] == block->mark);
    free(block);
}

/* Puts a new block where another thread's was, and frees that. */
static void exchange(unsigned seed)
{
    size_t size = (seed >> 7) % ((seed & 127) == 0 ? 300000 : seed & 1 ? 200 : 5000) + 1;
    struct block *block = malloc(sizeof *block + size);
    EXPECT(block != NULL);
    block->size = size;
    block->mark = (unsigned char)seed;
    memset(block->bytes, block->mark, size);
    release(atomic_exchange(&slots[(seed >> 3) % SLOTS], block));
}

static void *mix(void *seed)
{
    unsigned state = (unsigned)(uintptr_t)seed;
    pthread_barrier_wait(&ready);
    do {
        int i;
        for (i = 0; i < 1000; i++)
            exchange(state = state * 1664525 + 1013904223);
        atomic_fetch_add(&calls, 2000);
    } while (time(NULL) < end);
    return NULL;
}

static void expect_success(pid_t process)
{
    int status;
    pid_t waited;
    EXPECT(process > 0);
    while ((waited = waitpid(process, &status, 0)) < 0 && errno == EINTR)
        ;
    EXPECT(waited == process && status == 0);
}

static void *fork_often(void *seed)
{
    pthread_barrier_wait(&ready);
    do {
        pid_t process = fork();
        if (process == 0) {
            int i;
            alarm(60);
            for (i = 0; i < 200; i++)
                exchange((unsigned)i * 2654435761u);
            _exit(hmalloc_check == NULL ? 0 : hmalloc_check());
        }
        expect_success(process);
        atomic_fetch_add(&forks, 1);
    } while (time(NULL) < end);
    return seed;
}

static void *execute_often(void *seed)
{
    char *arguments[] = {"sh", "-c", "echo $$ >/dev/null", NULL};
    pthread_barrier_wait(&ready);
    do {
        pid_t process;
        EXPECT(posix_spawn(&process, "/bin/sh", NULL, NULL, arguments, environ) == 0);
        expect_success(process);
        atomic_fetch_add(&programs, 1);
    } while (time(NULL) < end);
    return seed;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS + 2];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 5;
    uintptr_t i;
    alarm(seconds + 120);
    end = time(NULL) + seconds;
    EXPECT(pthread_barrier_init(&ready, NULL, THREADS + 2) == 0);
    EXPECT(sigaction(SIGPROF, &action, NULL) == 0 && setitimer(ITIMER_PROF, &often, NULL) == 0);
    for (i = 0; i < THREADS + 2; i++) {
        void *(*work)(void *) = i < THREADS ? mix : i == THREADS ? fork_often : execute_often;
        EXPECT(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
    }
    for (i = 0; i < THREADS + 2; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    EXPECT(setitimer(ITIMER_PROF, &never, NULL) == 0);
    for (i = 0; i < SLOTS; i++)
        release(atomic_exchange(&slots[i], NULL));
    malloc_trim(0);
    EXPECT(hmalloc_check == NULL || hmalloc_check() == 0);
    EXPECT(signals > 0 && forks > 0 && programs > 0);
    printf("%lu calls, %lu forks, %lu programs, %ld signals; %lu bytes are left\n", calls, forks, programs, (long)signals,
           (unsigned long)(mallinfo2().arena + mallinfo2().hblkhd));
    /* libc's own blocks, and their metadata. */
    EXPECT(hmalloc_check == NULL || mallinfo2().arena + mallinfo2().hblkhd < 2 << 20);
    return 0;
}
