/* A program for a debugger, as tests/programs/src/bin/debugged.rs: `debugged FILE` writes what it knows of addresses to the file, and
 * comes to stop_here. */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#include "expect.h"

static void *blocks[600];

__attribute__((noinline)) void stop_here(void)
{
    __asm__ volatile("" ::: "memory");
}

static void *free_some(void *unused)
{
    size_t i;
    for (i = 0; i < COUNT(blocks); i += 5)
        free(blocks[i]);
    return unused;
}

int main(int argc, char **argv)
{
    FILE *facts = argc > 1 ? fopen(argv[1], "w") : NULL;
    pthread_t thread;
    size_t i;
    EXPECT(facts != NULL);
    for (i = 0; i < COUNT(blocks); i++)
        EXPECT((blocks[i] = malloc(i % 7 == 0 ? 70000 + i : i)) != NULL);
    for (i = 0; i < COUNT(blocks); i++)
        if (i % 5 != 0)
            fprintf(facts, "%p live %lu\n", blocks[i], (unsigned long)malloc_usable_size(blocks[i]));
    EXPECT(pthread_create(&thread, NULL, free_some, NULL) == 0 && pthread_join(thread, NULL) == 0);
    for (i = 0; i < COUNT(blocks); i += 5)
        fprintf(facts, "%p free\n", blocks[i]);
    fprintf(facts, "%p outside\n%p outside\n0x10 outside\n", (void *)&thread, (void *)blocks);
    fclose(facts);
    stop_here();
    return 0;
}
