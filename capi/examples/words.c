/* Joins its arguments in a block of hmalloc, and prints the heap. Then it frees the block twice. */
#include <hmalloc.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    char *text = hmalloc(1);
    size_t length = 0;
    int i;

    if (text == NULL)
        return 1;
    text[0] = '\0';
    for (i = 1; i < argc; i++) {
        char *longer = hrealloc(text, length + strlen(argv[i]) + 2);
        if (longer == NULL)
            return 1;
        text = longer;
        length += (size_t)sprintf(text + length, "%s%s", i > 1 ? " " : "", argv[i]);
    }
    printf("%s\n%lu bytes in a block of %lu\n", text, (unsigned long)length, (unsigned long)husable_size(text));
    fflush(stdout);
    hmalloc_stats_print(1);

    hmalloc_set_policy(HMALLOC_REPORT);
    hfree(text);
    hfree(text); /* reported on standard error, and nothing else happens */
    return hmalloc_check();
}
