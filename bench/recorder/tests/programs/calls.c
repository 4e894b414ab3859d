/* Makes known calls and keeps a log of them in the recorder's own form, written without any allocation of its own.
 * Arguments: what to do, and the file for the log. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ALLOCATE = 1, ZEROED, ALIGNED, RESIZE, FREE };

struct record {
    uint8_t kind, align;
    uint16_t zero;
    uint32_t thread;
    uint64_t size, old, new;
};

static struct record records[300000];
static int count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *note(int kind, int align, size_t size, void *old, void *new) {
    pthread_mutex_lock(&lock);
    records[count++] = (struct record){kind, align, 0, syscall(SYS_gettid), size, (uintptr_t)old, (uintptr_t)new};
    pthread_mutex_unlock(&lock);
    return new;
}

/* Through pointers that the compiler cannot see through: it knows malloc and leaves calls out. */
static void *(*volatile c_malloc)(size_t) = malloc;
static void *(*volatile c_calloc)(size_t, size_t) = calloc;
static void *(*volatile c_realloc)(void *, size_t) = realloc;
static void *(*volatile c_reallocarray)(void *, size_t, size_t) = reallocarray;
static void (*volatile c_free)(void *) = free;
static int (*volatile c_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile c_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile c_memalign)(size_t, size_t) = memalign;
static void *(*volatile c_valloc)(size_t) = valloc;
static void *(*volatile c_pvalloc)(size_t) = pvalloc;

static void require(int holds, int status) {
    if (!holds) _exit(status);
}

static void *take(size_t size) { return note(ALLOCATE, 0, size, NULL, c_malloc(size)); }

static void give(void *payload) {
    errno = 77;
    c_free(payload);
    require(errno == 77, 10);
    if (payload) note(FREE, 0, 0, payload, NULL);
}

static void *resize(void *old, size_t size) { return note(RESIZE, 0, size, old, c_realloc(old, size)); }

/* Every function once at least. */
static void every_call(void) {
    long page = sysconf(_SC_PAGESIZE);
    int page_align = __builtin_ctzl(page);
    void *a = take(24), *b = take(0), *placed = NULL;
    void *c = note(ZEROED, 0, 7 * 9, NULL, c_calloc(7, 9));
    for (int i = 0; i < 7 * 9; i++) require(((char *)c)[i] == 0, 11);
    require(c_posix_memalign(&placed, 256, 100) == 0, 12);
    void *d = note(ALIGNED, 8, 100, NULL, placed);
    void *e = note(ALIGNED, 6, 128, NULL, c_aligned_alloc(64, 128));
    void *f = note(ALIGNED, 12, 33, NULL, c_memalign(4096, 33));
    void *g = note(ALIGNED, page_align, 5, NULL, c_valloc(5));
    void *h = note(ALIGNED, page_align, 2 * page, NULL, c_pvalloc(page + 1));
    memset(a, 42, 24);
    a = resize(a, 100000);
    require(((char *)a)[23] == 42, 13);
    a = resize(a, 10);
    void *i = resize(NULL, 77);
    void *j = note(RESIZE, 0, 60, i, c_reallocarray(i, 6, 10));
    require(resize(j, 0) == NULL, 14);
    require(take(SIZE_MAX / 2) == NULL, 15);
    require(c_reallocarray(a, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM, 16);
    require(note(ZEROED, 0, SIZE_MAX, NULL, c_calloc(SIZE_MAX / 2, 3)) == NULL, 17);
    give(NULL);
    void *all[] = {a, b, c, d, e, f, g, h};
    for (int k = 0; k < 8; k++) give(all[k]);
    take(13);
}

static void *some_calls(void *seed) {
    void *live[16] = {0};
    for (unsigned n = 0, random = (uintptr_t)seed; n < 3000; n++) {
        random = random * 1103515245 + 12345;
        unsigned slot = random >> 16 & 15;
        give(live[slot]);
        live[slot] = take(random >> 20);
    }
    for (int slot = 0; slot < 16; slot++) give(live[slot]);
    return NULL;
}

static void *endless_calls(void *unused) {
    for (;;) c_free(c_malloc(100));
    return unused;
}

static void save(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    size_t length = count * sizeof(struct record);
    require(file >= 0 && write(file, records, length) == (ssize_t)length, 20);
    close(file);
}

static void forks(const char *log) {
    void *inherited = take(500);
    pid_t child = fork();
    if (child == 0) {
        count = 0;
        give(inherited);
        every_call();
        char path[4096];
        require(strlen(log) + 7 < sizeof path, 21);
        strcat(strcpy(path, log), ".child");
        save(path);
        _exit(0);
    }
    int status;
    require(waitpid(child, &status, 0) == child && status == 0, 22);
    give(inherited);
}

static void fork_while_threads_call(void) {
    pthread_t thread;
    for (int n = 0; n < 2; n++) require(pthread_create(&thread, NULL, endless_calls, NULL) == 0, 23);
    for (int n = 0; n < 30; n++) {
        pid_t child = fork();
        if (child == 0) {
            for (int k = 0; k < 50; k++) c_free(c_malloc(200));
            _exit(0);
        }
        int status;
        require(waitpid(child, &status, 0) == child && status == 0, 24);
    }
}

int main(int argc, char **argv) {
    require(argc == 3, 25);
    const char *what = argv[1], *log = argv[2];
    if (!strcmp(what, "every")) every_call();
    else if (!strcmp(what, "planted")) every_call(), c_malloc(13);
    else if (!strcmp(what, "fork")) forks(log);
    else if (!strcmp(what, "storm")) fork_while_threads_call();
    else if (!strcmp(what, "many")) {
        /* More than a window of the file, with every descriptor gone that the program does not know. */
        for (int file = 3; file < 64; file++) close(file);
        for (int n = 0; n < 100000; n++) give(take(n % 512));
    } else if (!strcmp(what, "exec")) {
        c_free(c_malloc(1));
        execl(argv[0], argv[0], "every", log, NULL);
        _exit(26);
    } else if (!strcmp(what, "kill")) {
        every_call();
        save(log);
        raise(SIGKILL);
    } else if (!strcmp(what, "threads")) {
        pthread_t threads[3];
        for (uintptr_t n = 0; n < 3; n++) require(pthread_create(&threads[n], NULL, some_calls, (void *)(n + 1)) == 0, 27);
        for (int n = 0; n < 3; n++) pthread_join(threads[n], NULL);
    } else _exit(28);
    save(log);
    _exit(0);
}
