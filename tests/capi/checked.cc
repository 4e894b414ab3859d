// Blocks of C++ that are deleted with another alignment than they were asked for: the first argument, and the second; 0 is a delete
// without one.
#include <cstdlib>
#include <new>

static void *make(std::size_t align) { return align ? operator new(100, std::align_val_t(align)) : operator new(100); }

static void remove(void *block, std::size_t align) {
    if (align)
        operator delete(block, std::align_val_t(align));
    else
        operator delete(block);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    void *volatile block = make(std::strtoul(argv[1], nullptr, 10));
    remove(block, std::strtoul(argv[2], nullptr, 10));
    return 0;
}
