/* Two heaps in one program: hmalloc's by the archive, and the C library's own. Threads are busy in both while the program
 * forks; the children use both, and start a thread that does.
 *
 *     both TIMES
 *
 * With REGISTERS the program has fork handlers of its own, so that another definition of musl's inner hook is linked. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hmalloc.h"

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%d: %s\n", __LINE__, #condition); \
            _exit(9); \
        } \
    } while (0)

enum { BUSY = 3, BLOCKS = 16 };

static atomic_int done;
static atomic_int handled;

struct block {
    unsigned char *bytes;
    size_t size;
};

static void check_and_free(struct block *block, void (*release)(void *), int byte)
{
    if (block->bytes) {
        EXPECT(block->bytes[0] == byte && block->bytes[block->size / 2] == byte && block->bytes[block->size - 1] == byte);
        release(block->bytes);
    }
}

static void use_both(unsigned seed, int rounds)
{
    struct block ours[BLOCKS] = {{0}}, theirs[BLOCKS] = {{0}};
    int i;
    for (i = 0; i < rounds; i++) {
        int at = (seed = seed * 1103515245 + 12345) >> 16 & (BLOCKS - 1);
        size_t size = (seed >> 8) % (seed & 128 ? 400 : 90000) + 1;
        check_and_free(&ours[at], hfree, 0x11);
        check_and_free(&theirs[at], free, 0x22);
        EXPECT((ours[at].bytes = hmalloc(size)) != NULL);
        EXPECT((theirs[at].bytes = malloc(size)) != NULL);
        ours[at].size = theirs[at].size = size;
        memset(ours[at].bytes, 0x11, size);
        memset(theirs[at].bytes, 0x22, size);
    }
    for (i = 0; i < BLOCKS; i++) {
        check_and_free(&ours[i], hfree, 0x11);
        check_and_free(&theirs[i], free, 0x22);
    }
}

static void use_directories(void)
{
    DIR *open[20];
    int i;
    for (i = 0; i < 20; i++)
        EXPECT((open[i] = opendir("/")) != NULL && readdir(open[i]) != NULL);
    for (i = 0; i < 20; i++)
        closedir(open[i]);
}

static void *busy(void *seed)
{
    while (!atomic_load(&done)) {
        use_both((unsigned)(uintptr_t)seed, 60);
        use_directories();
        hmalloc_trim(0);
    }
    return NULL;
}

static void *in_the_child(void *seed)
{
    use_both((unsigned)(uintptr_t)seed, 30);
    return seed;
}

static void child(uintptr_t number)
{
    pthread_t thread;
    alarm(60);
    use_both((unsigned)number, 30);
    EXPECT(pthread_create(&thread, NULL, in_the_child, (void *)number) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    use_directories();
    EXPECT(hmalloc_check() == 0);
    _exit(0);
}

#ifdef REGISTERS
static void handler(void)
{
    hfree(hmalloc(50000));
    atomic_fetch_add(&handled, 1);
}
#endif

int main(int argc, char **argv)
{
    pthread_t threads[BUSY];
    uintptr_t i, times = argc > 1 ? strtoul(argv[1], NULL, 10) : 50;
    int expected = 0;
    alarm(580);
    hfree(hmalloc(1));
#ifdef REGISTERS
    EXPECT(pthread_atfork(handler, handler, handler) == 0);
    expected = 2 * (int)times;
#endif
    for (i = 0; i < BUSY; i++)
        EXPECT(pthread_create(&threads[i], NULL, busy, (void *)(i + 1)) == 0);
    for (i = 1; i <= times; i++) {
        int status;
        pid_t process = fork();
        EXPECT(process >= 0);
        if (process == 0)
            child(i);
        EXPECT(waitpid(process, &status, 0) == process && status == 0);
    }
    atomic_store(&done, 1);
    for (i = 0; i < BUSY; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    EXPECT(hmalloc_check() == 0 && atomic_load(&handled) == expected);
    printf("%lu forks\n", (unsigned long)times);
    return 0;
}
