/* Mistakes with blocks whose callers are known by name: the argument says which. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So that no call is a jump, and each function has a frame of its own. */
#define FRAME __attribute__((noinline, noclone))
#define END __asm__ volatile("")

static char *volatile block;

FRAME static void takes(size_t size) {
    block = malloc(size);
    END;
}

FRAME static void grows(size_t size) {
    block = realloc(block, size);
    END;
}

FRAME static void gives(void) {
    free(block);
    END;
}

FRAME static void gives_again(void) {
    free(block);
    END;
}

FRAME static void overflow(void) {
    takes(24);
    block[24] = 0;
    gives();
    END;
}

FRAME static void overflow_large(void) {
    takes(100000);
    block[100000] = 1;
    gives();
    END;
}

FRAME static void underflow_moved(void) {
    takes(24);
    grows(200);
    block[-1] = 0;
    gives();
    END;
}

FRAME static void written_after(void) {
    takes(24);
    gives();
    block[3] = 1;
    for (int i = 0; i < 10000; i++) malloc(24);
    END;
}

FRAME static void *gives_in_thread(void *unused) {
    gives();
    END;
    return unused;
}

FRAME static void written_after_another(void) {
    pthread_t thread;
    takes(24);
    pthread_create(&thread, NULL, gives_in_thread, NULL);
    pthread_join(thread, NULL);
    block[3] = 1;
    for (int i = 0; i < 10000; i++) malloc(24);
    END;
}

FRAME static void at_exit(void) {
    takes(24);
    block[24] = 0;
    END;
}

FRAME static void twice(void) {
    takes(24);
    gives();
    gives_again();
    END;
}

FRAME static void twice_large(void) {
    takes(100000);
    gives();
    gives_again();
    END;
}

/* The same slot had other callers before. */
FRAME static void used_before(void) {
    for (int i = 0; i < 3000; i++) {
        takes(24);
        gives();
    }
    block = NULL;
    grows(24);
    gives_again();
    gives();
    END;
}

static const struct { const char *name; void (*run)(void); } cases[] = {
    {"overflow", overflow}, {"overflow_large", overflow_large}, {"underflow_moved", underflow_moved},
    {"written_after", written_after}, {"written_after_another", written_after_another}, {"at_exit", at_exit},
    {"twice", twice}, {"twice_large", twice_large}, {"used_before", used_before},
};

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc > 1 && !strcmp(argv[1], cases[i].name)) cases[i].run();
    return 0;
}
