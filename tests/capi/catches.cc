// As little of a C++ library as a program can have that catches: in a static one nothing names std::bad_alloc itself. With BASE
// it catches the base class.
#include <cstddef>
#include <exception>

extern "C" int puts(const char *);

static volatile size_t most = static_cast<size_t>(-1) / 4;
static void *volatile sink;

int main()
{
    for (int i = 0; i < 3; i++)
        try {
            sink = operator new(most);
            return 1;
#ifdef BASE
        } catch (std::exception &exception) {
            if (exception.what()[5] != 'b')
                return 2;
        }
#else
        } catch (...) {
        }
#endif
    puts("caught");
    return 0;
}
