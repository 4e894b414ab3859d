// C++ without a C++ library: new and delete are there, and running out, which nobody could catch, ends the process with a line.
// nothrow is null.
#include <stddef.h>

namespace std {
struct nothrow_t {};
}
void *operator new(size_t, const std::nothrow_t &) noexcept;
extern "C" int puts(const char *);
extern "C" int fflush(void *);

static volatile size_t size = 100;
static void *volatile sink;

int main(int argc, char **)
{
    for (int i = 0; i < 100; i++) {
        int *array = new int[size + static_cast<size_t>(i)];
        sink = array;
        delete[] array;
        sink = new long;
        delete static_cast<long *>(sink);
    }
    size = static_cast<size_t>(-1) / 4;
    if (operator new(size, std::nothrow_t()) != nullptr)
        return 1;
    puts("null");
    fflush(nullptr);
    if (argc > 1)
        sink = operator new(size);
    return 0;
}
