/* Known calls, for the record of `hmalloc-run --timeline`; then an end of the kind that is named. It prints nothing, because that
 * would allocate. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *blocks[1000];

int main(int argc, char **argv) {
    const char *end = argc > 1 ? argv[1] : "";
    for (int i = 0; i < 1000; i++)
        blocks[i] = malloc(100 + i);
    char *large = calloc(1, 1 << 20);
    for (int i = 1; i < 1000; i += 2)
        free(blocks[i]);
    large = realloc(large, 3 << 20);
    if (strcmp(end, "wrong") == 0) {
        free(blocks[1]);
        free(blocks[2] + 16);
    }
    free(large);
    if (strcmp(end, "killed") == 0)
        raise(SIGKILL);
    if (strcmp(end, "stopped") == 0)
        free(blocks[1]);
    _exit(3);
}
