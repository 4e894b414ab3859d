// C++'s operators: what they promise, and what a wrong delete is told. Named cases, as in misuse.c: one that makes a mistake
// says first what must be reported. On the C library's malloc all that make none must hold, too.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <malloc.h>
#include <map>
#include <memory>
#include <new>
#include <pthread.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern "C" int hmalloc_check() __attribute__((weak));

#define EXPECT(condition)                                                            \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);  \
            _exit(1);                                                                \
        }                                                                            \
    } while (0)

using std::align_val_t;
using std::nothrow;

static volatile size_t most = SIZE_MAX / 4, hidden;

// Which the compiler must not see through: it may leave out a new whose block is not used. Each thread has its own: of a common
// one a thread would read another's block, and free it.
static thread_local void *volatile sink;
static void *see(void *block)
{
    sink = block;
    return sink;
}

static bool aligned(void *block, size_t to) { return reinterpret_cast<uintptr_t>(block) % to == 0; }

static void check_heap() { EXPECT(hmalloc_check == nullptr || hmalloc_check() == 0); }

// Each form of new, with the forms of delete that may take its block.
static void *made(unsigned form, size_t size, size_t align)
{
    switch (form) {
    case 0: return operator new(size);
    case 1: return operator new[](size);
    case 2: return operator new(size, nothrow);
    case 3: return operator new[](size, nothrow);
    case 4: return operator new(size, align_val_t(align));
    case 5: return operator new[](size, align_val_t(align));
    case 6: return operator new(size, align_val_t(align), nothrow);
    default: return operator new[](size, align_val_t(align), nothrow);
    }
}

static void unmade(unsigned form, unsigned way, void *block, size_t size, size_t align)
{
    bool array = form % 2;
    if (form < 4)
        switch (way % 3) {
        case 0: array ? operator delete[](block) : operator delete(block); break;
        case 1: array ? operator delete[](block, size) : operator delete(block, size); break;
        default: array ? operator delete[](block, nothrow) : operator delete(block, nothrow);
        }
    else
        switch (way % 3) {
        case 0: array ? operator delete[](block, align_val_t(align)) : operator delete(block, align_val_t(align)); break;
        case 1: array ? operator delete[](block, size, align_val_t(align)) : operator delete(block, size, align_val_t(align)); break;
        default: array ? operator delete[](block, align_val_t(align), nothrow) : operator delete(block, align_val_t(align), nothrow);
        }
}

static void one_size(size_t size, unsigned seed)
{
    for (unsigned form = 0; form < 8; form++) {
        size_t align = form < 4 ? 16 : size_t(1) << (seed + form) % 14;
        void *block = see(made(form, size, align));
        EXPECT(block != nullptr && aligned(block, align));
        memset(block, 0x5a, size);
        unmade(form, seed + form, block, size, align);
    }
}

// No right size is accused: every small one, and around every power of two and page of larger ones.
static void right_sizes()
{
    for (size_t size = 0; size <= 70000; size += size < 1200 ? 1 : size % 97 + 1)
        one_size(size, unsigned(size));
    for (size_t base = 4096; base <= 8 << 20; base *= 2)
        for (size_t size = base - 17; size <= base + 17; size++)
            one_size(size, unsigned(size));
    check_heap();
}

// The same while many blocks of each size live, in other orders: in slots that were others' before.
static void right_sizes_among_others()
{
    struct made_block { void *block; size_t size, align; unsigned form; };
    std::vector<made_block> live;
    uint64_t random = 88172645463325252u;
    for (unsigned round = 0; round < 60000; round++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        if (live.size() > 5000 || (random % 3 == 0 && !live.empty())) {
            made_block &gone = live[random / 8 % live.size()];
            unmade(gone.form, unsigned(random >> 40), gone.block, gone.size, gone.align);
            gone = live.back();
            live.pop_back();
        } else {
            unsigned form = random >> 33 & 7;
            size_t size = (random >> 20) % (size_t(1) << (random >> 50) % 17), align = form < 4 ? 16 : size_t(1) << (random >> 12) % 13;
            live.push_back({see(made(form, size, align)), size, align, form});
            EXPECT(aligned(live.back().block, align));
        }
    }
    for (made_block &last : live)
        unmade(last.form, 1, last.block, last.size, last.align);
    check_heap();
}

struct counted {
    counted() { hidden = hidden + 1; }
    ~counted() { hidden = hidden - 1; }
    char text[13];
};
struct alignas(64) line { char bytes[64]; };
struct alignas(4096) page_of : counted { char bytes[100]; };
struct base { virtual ~base() {} };
struct derived : base { char more[500]; };

// What the compiler passes to delete: cookies of arrays, over-aligned types, sizes of what is derived.
static void right_types()
{
    for (unsigned round = 1; round < 400; round++) {
        std::unique_ptr<counted[]> array(new counted[round]);
        std::unique_ptr<line> one(new line);
        std::unique_ptr<line[]> lines(new line[round % 50]);
        std::unique_ptr<page_of[]> pages(new page_of[round % 5]);
        std::unique_ptr<base> what(new derived);
        EXPECT(see(array.get()) && aligned(see(one.get()), 64) && aligned(see(lines.get()), 64) && aligned(see(pages.get()), 4096));
        EXPECT(see(what.get()));
    }
    EXPECT(hidden == 0);
    std::map<std::string, std::list<std::vector<double>>> nested;
    for (int i = 0; i < 3000; i++)
        nested[std::string(size_t(i % 90), 'x') + std::to_string(i)].push_back(std::vector<double>(size_t(i % 700)));
    nested.clear();
    check_heap();
}

static void null_is_deleted()
{
    for (unsigned form = 0; form < 8; form++)
        for (unsigned way = 0; way < 3; way++)
            unmade(form, way, nullptr, 40, 64);
}

// 1 if it throws std::bad_alloc, 2 if it throws something else, 3 if it is null, 0 if there is a block.
static int outcome(unsigned form, size_t size)
{
    try {
        return see(made(form, size, 64)) == nullptr ? 3 : 0;
    } catch (const std::bad_alloc &exception) {
        return strcmp(exception.what(), "std::bad_alloc") == 0 ? 1 : 4;
    } catch (...) {
        return 2;
    }
}

static bool is_nothrow(unsigned form) { return form & 2; }

static void running_out_throws_or_is_null()
{
    for (unsigned round = 0; round < 100; round++)
        for (unsigned form = 0; form < 8; form++)
            EXPECT(outcome(form, most) == (is_nothrow(form) ? 3 : 1));
    check_heap();
}

static int asked;
static void ask_thrice_then_throw()
{
    if (++asked == 3)
        throw std::bad_alloc();
}
static void ask_thrice_then_leave()
{
    if (++asked == 3)
        std::set_new_handler(nullptr);
}
static void ask_thrice_then_give()
{
    if (++asked == 3)
        most = 100;
}
static void throw_a_number() { throw 5; }

static void the_handler_is_asked_until_it_throws()
{
    for (unsigned form = 0; form < 8; form++) {
        std::set_new_handler(ask_thrice_then_throw);
        asked = 0;
        EXPECT(outcome(form, most) == (is_nothrow(form) ? 3 : 1) && asked == 3);
    }
}

static void the_handler_is_asked_until_there_is_none()
{
    for (unsigned form = 0; form < 8; form++) {
        std::set_new_handler(ask_thrice_then_leave);
        asked = 0;
        EXPECT(outcome(form, most) == (is_nothrow(form) ? 3 : 1) && asked == 3);
    }
}

// A limit that the handler lifts is what a handler is for: more of the same size is there at the next try.
static void the_handler_makes_room()
{
    static void *reserve[64];
    static size_t SIZE = size_t(1) << 43;
    (void)ask_thrice_then_give;
    for (unsigned form = 0; form < 8; form++) {
        unsigned count = 0;
        std::set_new_handler(nullptr);
        while (count < 64 && (reserve[count] = malloc(SIZE)) != nullptr)
            count++;
        if (count == 64 || count == 0)
            return;
        static unsigned left;
        left = count;
        std::set_new_handler([] { asked++; EXPECT(left > 0); free(reserve[--left]); });
        asked = 0;
        void *block = see(made(form, SIZE, 64));
        EXPECT(block != nullptr && asked > 0);
        unmade(form, 1, block, SIZE, 64);
        while (left > 0)
            free(reserve[--left]);
    }
}

static void what_the_handler_throws_passes()
{
    std::set_new_handler(throw_a_number);
    for (unsigned form = 0; form < 8; form++)
        EXPECT(outcome(form, most) == (is_nothrow(form) ? 3 : 2));
}

// Destructors between the throw and the catch run.
static void destructors_run_on_the_way()
{
    struct noted { ~noted() { asked++; } };
    asked = 0;
    for (int i = 0; i < 1000; i++)
        try {
            noted one, two;
            see(operator new(most));
            EXPECT(false);
        } catch (std::exception &) {
        }
    EXPECT(asked == 2000);
}

// Held by who throws beside forks, and by who forks. The C++ library looks for a handler under a lock of its own, in static
// programs, and has no part in a fork: in a child of a fork beside a throw that lock would never be left, on any heap.
static pthread_mutex_t throwing = PTHREAD_MUTEX_INITIALIZER;

static void *in_a_thread(void *seed)
{
    for (unsigned round = 0; round < 300; round++) {
        EXPECT(pthread_mutex_lock(&throwing) == 0);
        EXPECT(outcome(unsigned(round), most) != 0);
        EXPECT(pthread_mutex_unlock(&throwing) == 0);
        one_size((uintptr_t(seed) * 7919 + round * 31) % 60000, round);
    }
    return seed;
}

static void threads_and_forks()
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        EXPECT(pthread_create(&threads[i], nullptr, in_a_thread, reinterpret_cast<void *>(i)) == 0);
    for (unsigned round = 0; round < 30; round++) {
        int status;
        EXPECT(pthread_mutex_lock(&throwing) == 0);
        pid_t child = fork();
        EXPECT(child >= 0 && pthread_mutex_unlock(&throwing) == 0);
        if (child == 0) {
            alarm(60);
            std::map<int, std::string> map;
            for (int i = 0; i < 100; i++)
                map[i] = std::string(size_t(i), 'a');
            map.clear();
            EXPECT(outcome(0, most) == 1);
            check_heap();
            _exit(0);
        }
        EXPECT(waitpid(child, &status, 0) == child && status == 0);
    }
    for (pthread_t thread : threads)
        EXPECT(pthread_join(thread, nullptr) == 0);
    check_heap();
}

// Mistakes.

static void expect(const char *call, void *wrong, const char *kind, size_t offset, size_t size, const char *state)
{
    printf("expected hmalloc: %s: %p is %s: %zu bytes into %zu %s bytes at %p\n", call, wrong, kind, offset, size, state,
           static_cast<void *>(static_cast<char *>(wrong) - offset));
    fflush(stdout);
}

static void wrong_layout(unsigned form, size_t size, size_t said, size_t align, size_t said_align)
{
    void *block = see(made(form, size, align));
    expect(form % 2 ? "operator delete[]" : "operator delete", block, "not of the given layout", 0, malloc_usable_size(block), "used");
    unmade(form, 1, block, said, said_align);
}

static void delete_too_small() { wrong_layout(0, 1000, 100, 16, 16); }
static void delete_too_large() { wrong_layout(0, 1000, 5000, 16, 16); }
static void delete_of_zero_bytes() { wrong_layout(0, 1000, 0, 16, 16); }
static void delete_beyond_everything() { wrong_layout(0, 1000, SIZE_MAX, 16, 16); }
static void delete_large_as_small() { wrong_layout(0, 100000, 10, 16, 16); }
static void delete_small_as_large() { wrong_layout(0, 10, 100000, 16, 16); }
static void delete_array_too_small() { wrong_layout(1, 1000, 100, 16, 16); }
static void delete_aligned_too_small() { wrong_layout(4, 1000, 100, 64, 64); }
static void delete_array_aligned_too_large() { wrong_layout(5, 1000, 9000, 64, 64); }

struct small_base { int first; };
struct large_derived : small_base { char more[900]; };
static void delete_of_a_base_without_a_virtual_destructor()
{
    small_base *block = new large_derived;
    see(block);
    expect("operator delete", block, "not of the given layout", 0, malloc_usable_size(block), "used");
    delete block;
}

// A block of this size that does not happen to be aligned.
static void *unaligned(size_t size, size_t align)
{
    void *block = see(operator new(size));
    while (aligned(block, align))
        block = see(operator new(size));
    return block;
}

static void delete_less_aligned()
{
    void *block = unaligned(100, 4096);
    expect("operator delete", block, "not of the given layout", 0, malloc_usable_size(block), "used");
    operator delete(block, align_val_t(4096));
}

static void delete_array_less_aligned_sized()
{
    void *block = unaligned(100, 4096);
    expect("operator delete[]", block, "not of the given layout", 0, malloc_usable_size(block), "used");
    operator delete[](block, 100, align_val_t(4096));
}

static void delete_nothrow_less_aligned()
{
    void *block = unaligned(100, 4096);
    expect("operator delete", block, "not of the given layout", 0, malloc_usable_size(block), "used");
    operator delete(block, align_val_t(4096), nothrow);
}

static void twice(unsigned form, unsigned way, const char *call)
{
    void *block = see(made(form, 200, 64)), *other = see(made(form, 200, 64));
    size_t size = malloc_usable_size(block);
    EXPECT(other != nullptr);
    unmade(form, way, block, 200, 64);
    expect(call, block, "already free", 0, size, "free");
    unmade(form, way, sink == other ? block : sink, 200, 64);
}

static void delete_twice() { twice(0, 0, "operator delete"); }
static void delete_twice_sized() { twice(0, 1, "operator delete"); }
static void delete_twice_nothrow() { twice(2, 2, "operator delete"); }
static void delete_array_twice() { twice(1, 0, "operator delete[]"); }
static void delete_array_twice_sized() { twice(1, 1, "operator delete[]"); }
static void delete_array_twice_nothrow() { twice(3, 2, "operator delete[]"); }
static void delete_twice_aligned() { twice(4, 0, "operator delete"); }
static void delete_twice_aligned_sized() { twice(4, 1, "operator delete"); }
static void delete_array_twice_aligned() { twice(5, 0, "operator delete[]"); }
static void delete_array_twice_aligned_sized() { twice(5, 1, "operator delete[]"); }
static void delete_array_twice_aligned_nothrow() { twice(7, 2, "operator delete[]"); }

static void delete_inside()
{
    char *block = static_cast<char *>(see(operator new(400)));
    expect("operator delete", block + 48, "not a block", 48, malloc_usable_size(block), "used");
    operator delete(block + 48);
}

static void delete_of_the_stack()
{
    static char here[64] __attribute__((aligned(64)));
    printf("expected hmalloc: operator delete: %p is outside the heap\n", static_cast<void *>(here));
    fflush(stdout);
    operator delete(see(here), align_val_t(64));
}

static const struct { const char *name; void (*run)(); } CASES[] = {
#define CASE(name) {#name, name}
    CASE(right_sizes), CASE(right_sizes_among_others), CASE(right_types), CASE(null_is_deleted), CASE(running_out_throws_or_is_null),
    CASE(the_handler_is_asked_until_it_throws), CASE(the_handler_is_asked_until_there_is_none), CASE(the_handler_makes_room),
    CASE(what_the_handler_throws_passes), CASE(destructors_run_on_the_way), CASE(threads_and_forks),
    CASE(delete_too_small), CASE(delete_too_large), CASE(delete_of_zero_bytes), CASE(delete_beyond_everything),
    CASE(delete_large_as_small), CASE(delete_small_as_large), CASE(delete_array_too_small), CASE(delete_aligned_too_small),
    CASE(delete_array_aligned_too_large), CASE(delete_of_a_base_without_a_virtual_destructor), CASE(delete_less_aligned),
    CASE(delete_array_less_aligned_sized), CASE(delete_nothrow_less_aligned),
    CASE(delete_twice), CASE(delete_twice_sized), CASE(delete_twice_nothrow), CASE(delete_array_twice), CASE(delete_array_twice_sized),
    CASE(delete_array_twice_nothrow), CASE(delete_twice_aligned), CASE(delete_twice_aligned_sized), CASE(delete_array_twice_aligned),
    CASE(delete_array_twice_aligned_sized), CASE(delete_array_twice_aligned_nothrow), CASE(delete_inside), CASE(delete_of_the_stack),
};

int main(int argc, char **argv)
{
    for (auto &one : CASES)
        if (argc < 2) {
            puts(one.name);
        } else if (strcmp(argv[1], one.name) == 0) {
            alarm(300);
            one.run();
            puts("lived on");
            return 0;
        }
    return argc < 2 ? 0 : 2;
}
