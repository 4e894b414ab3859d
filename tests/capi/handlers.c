/* Signal handlers that fork or allocate, and children that share memory. Without FAMILY the program's own malloc is tried. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"

#ifdef FAMILY
#include "hmalloc.h"
#define malloc hmalloc
#define realloc hrealloc
#define free hfree
#define CHECK() EXPECT(hmalloc_check() == 0)
#else
#define CHECK() EXPECT(hmalloc_check == NULL || hmalloc_check() == 0)
#endif

#include "blocks.h"

/* With the second argument times that. */
enum { FORKS = 40, ALLOCATING = 100 };

extern char **environ;
static atomic_int done, forked, in_child, handled;
static int factor = 1;

static void *busy(void *seed)
{
    while (!atomic_load(&done))
        use_the_heap((unsigned)(uintptr_t)seed, 100);
    return NULL;
}

static void fork_here(int signal)
{
    int status;
    pid_t process = fork();
    (void)signal;
    EXPECT(process >= 0);
    if (process == 0) {
        alarm(60);
        atomic_store(&in_child, 1);
        return;
    }
    EXPECT(waitpid(process, &status, 0) == process && status == 0);
    atomic_fetch_add(&forked, 1);
}

static void allocate_here(int signal)
{
    (void)signal;
    use_the_heap(1, 20);
    atomic_fetch_add(&handled, 1);
}

static void handle(int signal, void (*handler)(int))
{
    struct sigaction action = {0};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    EXPECT(sigaction(signal, &action, NULL) == 0);
}

static void start_timer(int microseconds)
{
    struct itimerval time = {{0, 0}, {0, microseconds}};
    EXPECT(setitimer(ITIMER_PROF, &time, NULL) == 0);
}

static void forks_in_handlers(int threads)
{
    pthread_t thread[3];
    sigset_t set;
    int i, before;
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (i = 0; i < threads; i++)
        EXPECT(pthread_create(&thread[i], NULL, busy, (void *)(uintptr_t)(i + 1)) == 0);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    handle(SIGPROF, fork_here);
    for (before = -1; (i = atomic_load(&forked)) < FORKS * factor / (threads + 1);) {
        if (i != before)
            start_timer(1000);
        before = i;
        use_the_heap((unsigned)i, 10);
        if (atomic_load(&in_child)) {
            use_the_heap(7, 1000);
            CHECK();
            _exit(0);
        }
    }
    atomic_store(&done, 1);
    for (i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    CHECK();
}

static void one_thread_forks(void) { forks_in_handlers(0); }
static void one_of_many_forks(void) { forks_in_handlers(3); }

/* Forks, and waits for a child that uses the heap. */
static void fork_a_child(unsigned seed)
{
    int status;
    pid_t process = fork();
    EXPECT(process >= 0);
    if (process == 0) {
        alarm(60);
        use_the_heap(seed, 100);
        CHECK();
        _exit(0);
    }
    EXPECT(waitpid(process, &status, 0) == process && status == 0);
}

#ifdef __GLIBC__
static atomic_int nest;

/* Registered before the heap's own, so that it runs between those. (musl knows no .preinit_array.) */
static void prepare_fork(void)
{
    if (atomic_exchange(&nest, 0) && !atomic_load(&in_child)) {
        use_the_heap(3, 10);
        raise(SIGUSR1);
        use_the_heap(3, 10);
    }
}

static void register_first(void) { pthread_atfork(prepare_fork, NULL, NULL); }

__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = register_first;

static void a_fork_inside_a_fork(void)
{
    pthread_t thread[3];
    int i;
    for (i = 0; i < 3; i++)
        EXPECT(pthread_create(&thread[i], NULL, busy, (void *)(uintptr_t)(i + 1)) == 0);
    handle(SIGUSR1, fork_here);
    for (i = 0; i < FORKS * factor; i++) {
        atomic_store(&nest, 1);
        fork_a_child((unsigned)i);
        if (atomic_load(&in_child))
            _exit(0);
        use_the_heap((unsigned)i, 100);
    }
    EXPECT(atomic_load(&forked) == FORKS * factor);
    atomic_store(&done, 1);
    for (i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    CHECK();
}
#endif

static void allocating_handlers(void)
{
    int before, now;
    handle(SIGPROF, allocate_here);
    for (before = -1; (now = atomic_load(&handled)) < ALLOCATING * factor;) {
        if (now != before)
            start_timer(300);
        before = now;
        use_the_heap(1, 100);
    }
    CHECK();
}

/* The same where each of several threads is interrupted. */
static void allocating_handlers_of_threads(void)
{
    pthread_t thread[3];
    int i;
    for (i = 0; i < 3; i++)
        EXPECT(pthread_create(&thread[i], NULL, busy, (void *)(uintptr_t)(i + 1)) == 0);
    allocating_handlers();
    atomic_store(&done, 1);
    for (i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    CHECK();
}

static void programs_are_executed(void)
{
    static char *const arguments[] = {"true", NULL};
    pthread_t thread[3];
    int i, status;
    for (i = 0; i < 3; i++)
        EXPECT(pthread_create(&thread[i], NULL, busy, (void *)(uintptr_t)(i + 1)) == 0);
    for (i = 0; i < FORKS * factor; i++) {
        pid_t process = vfork();
        if (process == 0) {
            execve("/bin/true", arguments, environ);
            _exit(9);
        }
        EXPECT(waitpid(process, &status, 0) == process && status == 0);
        EXPECT(posix_spawn(&process, "/bin/true", NULL, NULL, arguments, environ) == 0);
        EXPECT(waitpid(process, &status, 0) == process && status == 0);
    }
    atomic_store(&done, 1);
    for (i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    CHECK();
}

int main(int argc, char **argv)
{
    static const struct named cases[] = {
        CASE(one_thread_forks),
        CASE(one_of_many_forks),
#ifdef __GLIBC__
        CASE(a_fork_inside_a_fork),
#endif
        CASE(programs_are_executed),
        CASE(allocating_handlers),
        CASE(allocating_handlers_of_threads),
    };
    if (argc > 1)
        alarm(300);
    if (argc > 2)
        factor = atoi(argv[2]);
    return run_named(cases, COUNT(cases), argc, argv);
}
