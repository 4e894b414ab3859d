/* What the C programs of these tests share. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Defined if the shared library is underneath. */
extern int hmalloc_check(void) __attribute__((weak));
extern int hmalloc_set_policy(int) __attribute__((weak));
extern void free_sized(void *, size_t) __attribute__((weak));
extern void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

/* Ends the program with status 1 unless the condition holds. */
#define EXPECT(condition)                                                               \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);     \
            _exit(1);                                                                   \
        }                                                                               \
    } while (0)

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct named {
    const char *name;
    void (*run)(void);
};

#define CASE(name) {#name, name}

/* Runs the case that the first argument names; without an argument, lists them all. */
static int run_named(const struct named *cases, size_t count, int argc, char **argv)
{
    size_t i;
    for (i = 0; i < count; i++) {
        if (argc < 2) {
            puts(cases[i].name);
        } else if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}

#endif
