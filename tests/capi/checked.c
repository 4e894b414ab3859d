/* Mistakes that only checked mode finds, one for each name; and what is right. The line that is expected, with * for numbers,
   or a signal, is printed first. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    expect("signal 11");
    block = malloc(100000);
    free((void *)block);
    printf("%d\n", block[5]);
}

static void nothing(void) {
    expect("signal 11");
    block = malloc(0);
    printf("%d\n", block[0]);
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
    block[24] = 0;
    int status;
    pid_t child = fork();
    if (child == 0) {
        free((void *)block);
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        abort();
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

#define CASE(name) {#name, name}
static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {CASE(after), CASE(before), CASE(header), CASE(after_large), CASE(before_large), CASE(freed_and_used),
             CASE(freed_and_not_used_again), CASE(at_exit), CASE(resized), CASE(freed_large), CASE(nothing),
             CASE(by_another_thread), CASE(in_a_child), CASE(right)};

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc < 2)
            puts(cases[i].name);
        else if (!strcmp(argv[1], cases[i].name))
            cases[i].run();
    return 0;
}
