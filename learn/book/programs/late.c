/* A block is used after it was freed. */
#include <stdlib.h>

int main(void) {
    char *volatile block = malloc(100);
    free(block);
    block[7] = 1;
    return 0;
}
