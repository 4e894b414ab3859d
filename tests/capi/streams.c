/* Streams that allocate while others flush them all, and forks. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"

enum { FORKS = 200 };

static atomic_int done, inside, staged;

static ssize_t write_cookie(void *cookie, const char *bytes, size_t size)
{
    void *copy = malloc(size + 100);
    (void)cookie;
    if (atomic_load(&staged)) {
        /* The thread that forks comes to libc's list of streams meanwhile, which this one holds. */
        atomic_store(&inside, 1);
        usleep(200000);
    }
    EXPECT(copy != NULL);
    memcpy(copy, bytes, size);
    copy = realloc(copy, size + 50000);
    EXPECT(copy != NULL);
    free(copy);
    return (ssize_t)size;
}

static FILE *open_cookie(void)
{
    cookie_io_functions_t functions = {0};
    FILE *stream;
    functions.write = write_cookie;
    stream = fopencookie(NULL, "w", functions);
    EXPECT(stream != NULL);
    return stream;
}

static void use_cookie(void)
{
    FILE *stream = open_cookie();
    EXPECT(fprintf(stream, "%d and %s", 5, "more") > 0);
    EXPECT(fflush(NULL) == 0);
    EXPECT(fclose(stream) == 0);
}

static void use_lines(void)
{
    char *line = NULL;
    size_t room = 0, lines = 0;
    FILE *stream = fopen("/proc/self/maps", "r");
    EXPECT(stream != NULL);
    while (getline(&line, &room, stream) > 0)
        lines++;
    EXPECT(lines > 3 && fflush(NULL) == 0);
    free(line);
    fclose(stream);
}

static void use_memory(void)
{
    char *bytes = NULL;
    size_t size = 0;
    int i;
    FILE *stream = open_memstream(&bytes, &size);
    EXPECT(stream != NULL);
    for (i = 0; i < 300; i++)
        EXPECT(fprintf(stream, "%d, ", i) > 0);
    EXPECT(fflush(NULL) == 0 && fclose(stream) == 0 && size > 1000 && strncmp(bytes, "0, 1, 2,", 8) == 0);
    free(bytes);
}

static void use_all(void)
{
    use_cookie();
    use_lines();
    use_memory();
}

static void *busy(void *use)
{
    while (!atomic_load(&done))
        ((void (*)(void))use)();
    return NULL;
}

static void *once(void *use)
{
    ((void (*)(void))use)();
    return use;
}

static void *forking(void *use)
{
    int i;
    for (i = 0; i < FORKS; i++) {
        int status;
        pid_t process = fork();
        EXPECT(process >= 0);
        if (process == 0) {
            pthread_t thread;
            void *result;
            alarm(60);
            EXPECT(pthread_create(&thread, NULL, once, use) == 0);
            EXPECT(pthread_join(thread, &result) == 0 && result == use);
            use_all();
            EXPECT(hmalloc_check == NULL || hmalloc_check() == 0);
            _exit(0);
        }
        EXPECT(waitpid(process, &status, 0) == process && status == 0);
    }
    return NULL;
}

static void storm(void (*use)(void), int forkers)
{
    pthread_t threads[5];
    int i;
    alarm(300);
    for (i = 0; i < 5; i++)
        EXPECT(pthread_create(&threads[i], NULL, i < forkers ? forking : busy, (void *)use) == 0);
    for (i = 0; i < forkers; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&done, 1);
    for (i = forkers; i < 5; i++)
        pthread_join(threads[i], NULL);
    EXPECT(hmalloc_check == NULL || hmalloc_check() == 0);
}

static void cookies(void) { storm(use_cookie, 1); }
static void lines(void) { storm(use_lines, 1); }
static void memory(void) { storm(use_memory, 1); }
static void several_fork(void) { storm(use_all, 3); }

static void *flush_all(void *unused)
{
    EXPECT(fflush(NULL) == 0);
    return unused;
}

/* At exactly the wrong moment. */
static void flush_during_fork(void)
{
    pthread_t thread;
    int status;
    pid_t process;
    FILE *stream = open_cookie();
    alarm(60);
    EXPECT(fputs("something", stream) >= 0);
    atomic_store(&staged, 1);
    EXPECT(pthread_create(&thread, NULL, flush_all, NULL) == 0);
    while (!atomic_load(&inside))
        usleep(1000);
    process = fork();
    EXPECT(process >= 0);
    if (process == 0) {
        atomic_store(&staged, 0);
        alarm(60);
        use_all();
        _exit(0);
    }
    EXPECT(waitpid(process, &status, 0) == process && status == 0);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    static const struct named cases[] = {
        CASE(cookies),
        CASE(lines),
        CASE(memory),
        CASE(several_fork),
        CASE(flush_during_fork),
    };
    return run_named(cases, COUNT(cases), argc, argv);
}
