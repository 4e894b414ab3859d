/* A program whose memory comes from known places, and that ends in the way that its argument names. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile sink;

__attribute__((noinline)) static void leaks_most(void) {
    sink = malloc(1000);
    __asm__ volatile("");
}

__attribute__((noinline)) static void leaks_less(void) {
    sink = malloc(3000);
    __asm__ volatile("");
}

__attribute__((noinline)) static void leaks_one_large(void) {
    sink = malloc(200000);
    __asm__ volatile("");
}

__attribute__((noinline)) static void comes_and_goes(size_t size) {
    sink = calloc(1, size);
    sink = realloc(sink, 3 * size);
    free(sink);
    __asm__ volatile("");
}

/* Without a buffer, which would be a block. */
static void say(int number) {
    char text[32];
    write(1, text, snprintf(text, sizeof text, "%d\n", number));
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "return";
    volatile int *volatile nowhere = NULL;
    int i;
    for (i = 0; i < 500; i++) leaks_most();
    for (i = 0; i < 20; i++) leaks_less();
    leaks_one_large();
    for (i = 0; i < 300; i++) comes_and_goes(i + 16);
    if (!strcmp(way, "exit")) exit(3);
    if (!strcmp(way, "_exit")) _exit(3);
    if (!strcmp(way, "_Exit")) _Exit(3);
    if (!strcmp(way, "quick_exit")) quick_exit(3);
    if (!strcmp(way, "abort")) abort();
    if (!strcmp(way, "term")) kill(getpid(), SIGTERM);
    if (!strcmp(way, "segv")) *nowhere = 1;
    if (!strcmp(way, "fork")) {
        pid_t child = fork();
        if (child == 0) {
            for (i = 0; i < 7; i++) leaks_less();
            _exit(0);
        }
        waitpid(child, NULL, 0);
        say(child);
        return 3;
    }
    if (!strcmp(way, "vfork")) {
        pid_t child = vfork();
        if (child == 0) _exit(0);
        waitpid(child, NULL, 0);
        say(child);
        return 3;
    }
    if (!strcmp(way, "system")) return system(argv[2]) == 0 ? 3 : 4;
    return 3;
}
