/* A double free, reported to a standard error that is broken, full, slow or not there. The first argument says what it
 * is, the second what SIGABRT finds: default, blocked, ignored, handled. Standard output says what is left to tell. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "expect.h"

/* Standard error is what is tested: what is not so is said on standard output. */
#undef EXPECT
#define EXPECT(condition)                                                               \
    do {                                                                                \
        if (!(condition)) {                                                             \
            dprintf(1, "line %d: not so: %s\n", __LINE__, #condition);                  \
            _exit(1);                                                                   \
        }                                                                               \
    } while (0)

#ifdef FAMILY
#include "../../capi/hmalloc.h"
#define malloc hmalloc
#define free hfree
#define CALL "hfree"
#else
#define CALL "free"
#endif

#define PIPE_WITH_READER(ends) EXPECT(pipe(ends) == 0 && dup2((ends)[1], 2) == 2)

static void say(const char *text)
{
    EXPECT(write(1, text, strlen(text)) == (ssize_t)strlen(text));
}

static void on_signal(int signal)
{
    say(signal == SIGABRT ? "SIGABRT was handled\n" : "a handler ran that must not\n");
}

static void nothing(int signal)
{
    (void)signal;
}

/* Fills whatever descriptor 2 is. It is blocking again afterwards. */
static void fill(void)
{
    static const char zeros[65536];
    int flags = fcntl(2, F_GETFL);
    size_t size;
    EXPECT(fcntl(2, F_SETFL, flags | O_NONBLOCK) == 0);
    for (size = sizeof zeros; size; size /= 2)
        while (write(2, zeros, size) > 0)
            ;
    EXPECT(errno == EAGAIN && fcntl(2, F_SETFL, flags) == 0);
}

static void whole(void) {}
static void closed(void) { EXPECT(close(2) == 0); }

static void broken_pipe(void)
{
    int ends[2];
    PIPE_WITH_READER(ends);
    EXPECT(close(ends[0]) == 0);
}

static void broken_socket(void)
{
    int ends[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && dup2(ends[1], 2) == 2 && close(ends[0]) == 0);
}

static void broken_pipe_ignored(void)
{
    signal(SIGPIPE, SIG_IGN);
    broken_pipe();
}

static void broken_pipe_handled(void)
{
    signal(SIGPIPE, on_signal);
    broken_pipe();
}

static void block(int number, int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    EXPECT(sigprocmask(how, &set, NULL) == 0);
}

static int pends(int number)
{
    sigset_t set;
    EXPECT(sigpending(&set) == 0);
    return sigismember(&set, number);
}

/* The signals that are blocked, one bit each. */
static unsigned long mask(void)
{
    unsigned long bits = 0;
    sigset_t set;
    int number;
    EXPECT(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
    for (number = 1; number <= 31; number++)
        bits |= (unsigned long)(sigismember(&set, number) > 0) << number;
    return bits;
}

static void broken_pipe_blocked(void)
{
    block(SIGPIPE, SIG_BLOCK);
    broken_pipe();
}

/* A signal of the program's own, still pending. */
static void broken_pipe_pending(void)
{
    broken_pipe_blocked();
    raise(SIGPIPE);
    EXPECT(pends(SIGPIPE));
}

static void full_device(void) { EXPECT(dup2(open("/dev/full", O_WRONLY), 2) == 2); }

/* A file that may not grow: the kernel sends SIGXFSZ. */
static void limited_file(void)
{
    struct rlimit limit = {10, 10};
    FILE *file = tmpfile();
    EXPECT(file && dup2(fileno(file), 2) == 2 && setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void full_pipe(void)
{
    int ends[2];
    PIPE_WITH_READER(ends);
    fill();
}

static void full_socket(void)
{
    int ends[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && dup2(ends[1], 2) == 2);
    fill();
}

static void full_nonblocking_pipe(void)
{
    full_pipe();
    EXPECT(fcntl(2, F_SETFL, O_NONBLOCK) == 0);
}

/* A thousand times a second, from a timer that is not the alarm's. */
static void interrupt_often(void)
{
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct sigaction action = {.sa_handler = nothing};
    timer_t timer;
    EXPECT(sigaction(SIGUSR1, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    EXPECT(timer_settime(timer, 0, &often, NULL) == 0);
}

static void full_interrupted_pipe(void)
{
    full_pipe();
    interrupt_often();
}

/* A child empties what `from` reads after a while, and puts the last line on standard output. */
static void read_slowly(int from)
{
    static char text[1 << 20];
    size_t length = 0, start;
    ssize_t count;
    if (fork() != 0)
        return;
    alarm(60);
    close(2);
    usleep(100000);
    while (length < sizeof text && (count = read(from, text + length, sizeof text - length)) > 0) {
        length += (size_t)count;
        if (text[length - 1] == '\n')
            break;
    }
    for (start = length; start > 0 && text[start - 1] != 0; start--)
        ;
    EXPECT(write(1, text + start, length - start) >= 0);
    _exit(0);
}

static void slow_pipe(void)
{
    int ends[2];
    PIPE_WITH_READER(ends);
    fill();
    read_slowly(ends[0]);
}

static void slow_nonblocking_pipe(void)
{
    slow_pipe();
    EXPECT(fcntl(2, F_SETFL, O_NONBLOCK) == 0);
}

static void slow_interrupted_pipe(void)
{
    slow_pipe();
    interrupt_often();
}

/* A terminal has room for a part of the line, and takes that. */
static void slow_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;
    EXPECT(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    EXPECT(terminal >= 0 && dup2(terminal, 2) == 2 && system("stty raw -echo <&2") == 0);
    fill();
    EXPECT(fcntl(2, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    read_slowly(master);
}

static const struct named KINDS[] = {
#define KIND(name) {#name, name}
    KIND(whole), KIND(closed), KIND(broken_pipe), KIND(broken_socket), KIND(broken_pipe_ignored),
    KIND(broken_pipe_handled), KIND(broken_pipe_blocked), KIND(broken_pipe_pending), KIND(full_device),
    KIND(limited_file), KIND(full_pipe), KIND(full_socket), KIND(full_nonblocking_pipe), KIND(full_interrupted_pipe),
    KIND(slow_pipe), KIND(slow_nonblocking_pipe), KIND(slow_interrupted_pipe), KIND(slow_terminal),
};

static void prepare_sigabrt(const char *how)
{
    if (strcmp(how, "blocked") == 0)
        block(SIGABRT, SIG_BLOCK);
    else if (strcmp(how, "default") != 0)
        signal(SIGABRT, strcmp(how, "ignored") == 0 ? SIG_IGN : on_signal);
}

/* A thousand lines to where no one reads: the process waits once, for two seconds, and not for half an hour. */
static void repeat(char *block)
{
    struct timespec before, after;
    int i;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (i = 0; i < 1000; i++)
        free(block);
    clock_gettime(CLOCK_MONOTONIC, &after);
    EXPECT(after.tv_sec - before.tv_sec < 30);
    say("and a thousand times\n");
}

int main(int argc, char **argv)
{
    char *payload = malloc(10);
    unsigned long before;
    int pending;
    if (argc < 3)
        return run_named(KINDS, COUNT(KINDS), argc, argv);
    /* If it hangs, it dies. */
    alarm(60);
#ifdef FAMILY
    hmalloc_set_policy(atoi(argv[3]));
#endif
    EXPECT(run_named(KINDS, COUNT(KINDS), 2, argv) == 0);
    if (strcmp(argv[2], "plain") == 0)
        return write(2, "a line of text\n", 15) + write(2, "and one more\n", 13) > 0;
    prepare_sigabrt(argv[2]);
    before = mask();
    pending = pends(SIGPIPE);
    free(payload);
    errno = EDOM;
    free(payload);
    EXPECT(errno == EDOM);
    EXPECT(mask() == before);
    EXPECT(pends(SIGPIPE) == pending && !pends(SIGXFSZ));
    if (strncmp(argv[1], "full_", 5) == 0)
        repeat(payload);
    close(2);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    say("lived on\n");
    return 0;
}
