/* A program whose memory comes from known places, and that ends in the way that its argument names. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

/* Signals come on a stack of 8 KiB, at the end of which nothing is, as far as an action wants that. */
static void small_stack(void) {
    char *place = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {0};
    mprotect(place, 4096, PROT_NONE);
    stack.ss_sp = place + 4096;
    stack.ss_size = 8192;
    sigaltstack(&stack, NULL);
}

/* A filter that kills the process when it asks the kernel to read memory. */
static void filter(void) {
    struct sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {4, steps};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* 4,096 places: their list takes a while to write. */
__attribute__((noinline)) static void left_or_right(unsigned way, int left) {
    if (left == 0) sink = malloc(16);
    else if (way & 1) {
        left_or_right(way >> 1, left - 1);
        __asm__ volatile("# right");
    } else {
        left_or_right(way >> 1, left - 1);
        __asm__ volatile("# left");
    }
    __asm__ volatile("");
}

/* Ends the process in another way as soon as a thread has begun to write this file. */
static void *leave_meanwhile(void *file) {
    while (access(file, F_OK) != 0) {}
    _exit(3);
}

static void *kill_meanwhile(void *file) {
    while (access(file, F_OK) != 0) {}
    kill(getpid(), SIGTERM);
    return NULL;
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "return";
    volatile int *volatile nowhere = NULL;
    int i;
    if (!strcmp(way, "faults")) {
        struct sigaction now;
        return sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler == SIG_DFL ? 3 : 4;
    }
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
    if (!strcmp(way, "term-small")) small_stack(), kill(getpid(), SIGTERM);
    if (!strcmp(way, "filter")) filter();
    if (!strncmp(way, "meanwhile", 9)) {
        pthread_t other;
        for (i = 0; i < 4096; i++) left_or_right(i, 12);
        pthread_create(&other, NULL, strstr(way, "_exit") ? leave_meanwhile : kill_meanwhile, argv[2]);
        exit(3);
    }
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
