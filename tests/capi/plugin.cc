// The plugin of late.c.
#include <cstdint>
#include <cstdio>
#include <new>

static volatile size_t most = SIZE_MAX / 4;
static void *volatile sink;
static int asked;

static void handler()
{
    if (++asked % 3 == 0)
        throw std::bad_alloc();
}

extern "C" int run()
{
    for (int round = 0; round < 5; round++) {
        try {
            sink = operator new(most);
            return 3;
        } catch (const std::bad_alloc &) {
        }
        if ((sink = operator new[](most, std::nothrow)) != nullptr)
            return 4;
        std::set_new_handler(handler);
    }
    sink = operator new(1000, std::align_val_t(512));
    operator delete(sink, 1000, std::align_val_t(512));
    if (asked != 24)
        return 5;
    puts("caught");
    return 0;
}
