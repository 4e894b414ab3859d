/* A program without a libc: cc -nostdlib -static. It makes a list of blocks, prints the heap, and frees them all. */
#include <hmalloc.h>

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call run\n mov %eax, %edi\n mov $231, %eax\n syscall");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x29, #0\n mov x30, #0\n bl run\n mov x8, #94\n svc #0");
#elif defined(__riscv) && __riscv_xlen == 64
__asm__(".globl _start\n_start: call run\n li a7, 94\n ecall");
#else
#error "no entry for this architecture yet"
#endif

struct node {
    struct node *next;
    unsigned long number;
};

int run(void)
{
    struct node *list = NULL;
    unsigned long i, sum = 0;

    for (i = 1; i <= 100000; i++) {
        struct node *node = hmalloc(sizeof *node);
        if (node == NULL)
            return 1;
        node->next = list;
        node->number = i;
        list = node;
    }
    hmalloc_stats_print(1);
    while (list != NULL) {
        struct node *next = list->next;
        sum += list->number;
        hfree(list);
        list = next;
    }
    hmalloc_trim(0);
    hmalloc_stats_print(1);
    return sum == 5000050000UL ? hmalloc_check() : 1;
}
