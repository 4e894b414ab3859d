/* A thousand lines are kept, and never freed. */
#include <stdlib.h>

static char *lines[1000];

static char *line(void) { return malloc(100); }

int main(void) {
    for (int number = 0; number < 1000; number++) {
        free(malloc(5000));
        lines[number] = line();
    }
    return 0;
}
