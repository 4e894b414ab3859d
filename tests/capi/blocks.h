/* Blocks that come, grow and go. Included where malloc may stand for hmalloc. */
#ifndef BLOCKS_H
#define BLOCKS_H

/* Only the heap: no libc function that a thread without a thread pointer of its own must not call. */
static void use_the_heap(unsigned seed, int rounds)
{
    void *blocks[16] = {0};
    int i;
    for (i = 0; i < rounds; i++) {
        void **slot = &blocks[(seed = seed * 1103515245 + 12345) >> 16 & 15];
        size_t at, size = (seed >> 8) % (seed & 64 ? 300 : 40000) + 1;
        *slot = realloc(*slot, size);
        EXPECT(*slot != NULL);
        for (at = 0; at < size && at < 64; at++)
            ((volatile char *)*slot)[at] = (char)seed;
    }
    for (i = 0; i < 16; i++)
        free(blocks[i]);
}

#endif
