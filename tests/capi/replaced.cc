// A program that replaces some of C++'s operators: the others call these, as the standard says, and a block always comes back to
// the operator that has made it. Compiled with ARRAYS it replaces the array forms, too, with ALIGNED the aligned ones.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <unistd.h>

#define EXPECT(condition)                                                            \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);  \
            _exit(1);                                                                \
        }                                                                            \
    } while (0)

using std::align_val_t;
using std::nothrow;

static int made, gone, arrays_made, arrays_gone, aligned_made, aligned_gone;
static volatile size_t most = SIZE_MAX / 4;
enum { BEFORE = 4096, MAGIC = 0x1234567 };

// Not the address that malloc gave: what is freed otherwise is a wrong pointer.
static void *make(size_t size, int &count)
{
    char *block = static_cast<char *>(size > SIZE_MAX / 8 ? nullptr : aligned_alloc(BEFORE, size + BEFORE));
    if (block == nullptr)
        throw std::bad_alloc();
    *reinterpret_cast<int *>(block) = MAGIC;
    count++;
    return block + BEFORE;
}

static void unmake(void *block, int &count)
{
    if (block == nullptr)
        return;
    char *start = static_cast<char *>(block) - BEFORE;
    EXPECT(*reinterpret_cast<int *>(start) == MAGIC);
    *reinterpret_cast<int *>(start) = 0;
    count++;
    free(start);
}

void *operator new(size_t size) { return make(size, made); }
void operator delete(void *block) noexcept { unmake(block, gone); }
#ifdef ARRAYS
void *operator new[](size_t size) { return make(size, arrays_made); }
void operator delete[](void *block) noexcept { unmake(block, arrays_gone); }
#endif
#ifdef ALIGNED
void *operator new(size_t size, align_val_t) { return make(size, aligned_made); }
void operator delete(void *block, align_val_t) noexcept { unmake(block, aligned_gone); }
#endif

static void *volatile sink;
static void *see(void *block)
{
    sink = block;
    return sink;
}

int main()
{
    const size_t n = 100;
    const align_val_t a{64};
    for (int i = 0; i < 3; i++) {
        i == 0 ? operator delete(see(operator new(n))) : i == 1 ? operator delete(see(operator new(n)), n) : operator delete(see(operator new(n)), nothrow);
        operator delete(see(operator new(n, nothrow)), n);
    }
    EXPECT(made == 6 && gone == 6);
    for (int i = 0; i < 3; i++) {
        i == 0 ? operator delete[](see(operator new[](n))) : i == 1 ? operator delete[](see(operator new[](n)), n) : operator delete[](see(operator new[](n)), nothrow);
        operator delete[](see(operator new[](n, nothrow)), n);
    }
    EXPECT(made + arrays_made == 12 && gone + arrays_gone == 12);
#ifdef ARRAYS
    EXPECT(made == 6 && arrays_made == 6 && gone == 6);
#endif
    for (int i = 0; i < 3; i++) {
        i == 0 ? operator delete(see(operator new(n, a)), a) : i == 1 ? operator delete(see(operator new(n, a)), n, a) : operator delete(see(operator new(n, a)), a, nothrow);
        operator delete(see(operator new(n, a, nothrow)), n, a);
        i == 0 ? operator delete[](see(operator new[](n, a)), a) : i == 1 ? operator delete[](see(operator new[](n, a)), n, a) : operator delete[](see(operator new[](n, a)), a, nothrow);
        operator delete[](see(operator new[](n, a, nothrow)), n, a);
    }
#ifdef ALIGNED
    EXPECT(aligned_made == 12 && aligned_gone == 12);
#endif
    EXPECT(made + arrays_made == 12 && gone + arrays_gone == 12);
    // What they throw is caught where null is promised.
    EXPECT(operator new(most, nothrow) == nullptr && operator new[](most, nothrow) == nullptr);
    EXPECT(operator new(most, a, nothrow) == nullptr && operator new[](most, a, nothrow) == nullptr);
    try {
        see(operator new[](most));
        EXPECT(false);
    } catch (const std::bad_alloc &) {
    }
    puts("each came back");
    return 0;
}
