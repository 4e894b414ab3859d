/* A name of 20 letters, and the byte that ends it. */
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *volatile name = malloc(20);
    strcpy(name, "one byte is too much");
    free(name);
    return 0;
}
