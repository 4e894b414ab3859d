/* Programs that change their environment, which is theirs to change, before they exit. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "expect.h"

extern char **environ;
static int errno_at_start;

static void nothing(void) {}

/* A copy of the environment in memory that is gone afterwards: the array, the strings or both. */
static void unmap(int array, int strings)
{
    char **table = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *text = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = text;
    int i;
    for (i = 0; environ[i]; i++) {
        table[i] = strcpy(end, environ[i]);
        end += strlen(end) + 1;
    }
    environ = table;
    if (strings)
        munmap(text, 1 << 20);
    if (array)
        munmap(table, 1 << 20);
}

static void the_array_is_unmapped(void) { unmap(1, 0); }
static void the_strings_are_unmapped(void) { unmap(0, 1); }
static void both_are_unmapped(void) { unmap(1, 1); }

static void the_array_is_garbage(void)
{
    static char *garbage[] = {(char *)1, (char *)-1, (char *)4096};
    environ = garbage;
}

static void the_strings_are_overwritten(void)
{
    char **entry;
    for (entry = environ; *entry; entry++)
        memset(*entry, 'x', strlen(*entry));
}

static void the_array_is_on_the_heap_and_freed(void)
{
    char **table = calloc(1000, sizeof *table);
    table[0] = strdup("HMALLOC_LOG=/dev/null");
    environ = table;
    free(table[0]);
    free(table);
}

static void __attribute__((noinline)) put_local(void)
{
    char local[64] = "HMALLOC_LOG=/dev/null";
    putenv(local);
}

static void a_buffer_on_the_stack_is_put(void)
{
    volatile char over[512];
    size_t i;
    put_local();
    for (i = 0; i < sizeof over; i++)
        over[i] = (char)-1;
}

static void it_is_cleared(void) { clearenv(); }
static void it_is_null(void) { environ = NULL; }

static void it_is_set_otherwise(void)
{
    setenv("HMALLOC_LOG", "/dev/null", 1);
    setenv("HMALLOC_STATS", "0", 1);
}

/* The first misuse is after the change; what was said at start holds. */
static void the_policy_is_set_otherwise(void)
{
    char *block = malloc(10);
    setenv("HMALLOC_POLICY", "abort", 1);
    free(block);
    free(block);
    puts("lived on");
}

static void errno_is_left_alone(void) { EXPECT(errno_at_start == 0); }

static void ids(void) { printf("%d %d %d %d\n", getuid(), geteuid(), getgid(), getegid()); }

static void a_double_free(void)
{
    char *block = malloc(10);
    ids();
    fflush(stdout);
    free(block);
    free(block);
    puts("lived on");
}

/* What the kernel says in an auxiliary vector of a program with more rights; in another, without that entry. */
#ifdef SECURE
unsigned long getauxval(unsigned long type)
{
    if (type == 23 && SECURE)
        return 1;
    errno = ENOENT;
    return 0;
}
#endif

int main(int argc, char **argv)
{
    static const struct named cases[] = {
        CASE(nothing),
        CASE(the_array_is_unmapped),
        CASE(the_strings_are_unmapped),
        CASE(both_are_unmapped),
        CASE(the_array_is_garbage),
        CASE(the_strings_are_overwritten),
        CASE(the_array_is_on_the_heap_and_freed),
        CASE(a_buffer_on_the_stack_is_put),
        CASE(it_is_cleared),
        CASE(it_is_null),
        CASE(it_is_set_otherwise),
        CASE(the_policy_is_set_otherwise),
        CASE(errno_is_left_alone),
        CASE(a_double_free),
    };
    errno_at_start = errno;
    return run_named(cases, COUNT(cases), argc, argv);
}
