# The gdb commands of hmalloc: what lies at an address, the heaps in numbers, the invariants that can be seen from outside.
#
# It travels in each program and library that has the heap, and reads it by the numbers in the section hmalloc_heaps (debugger.rs):
# neither names nor types are needed. It calls nothing in the program, so a core is as good as a process.

import gdb

HMALLOC_KINDS = ["free", "slab", "large", "moving", "metadata", "foreign", "sampled"]
HMALLOC_FREE, HMALLOC_SLAB, HMALLOC_LARGE, HMALLOC_MOVING, HMALLOC_METADATA, HMALLOC_FOREIGN, HMALLOC_SAMPLED = range(7)
HMALLOC_WORD = 8
HMALLOC_ORDER = ["little"]
HMALLOC_NAMES = """lookup regions first world page base pages handles slots region_bytes region_start region_pages region_handles region_count
    record start reciprocal slot_size owner kind standing live prev next length chunks tiers tier_count thread task
    chunk_base chunk_origins chunk_words chunk_slots""".split()


class HmallocBroken(Exception):
    """An invariant does not hold, at an address."""


def hmalloc_read(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        raise HmallocBroken("memory at %#x cannot be read" % address)


def hmalloc_number(bytes_, at, size):
    return int.from_bytes(bytes_[at:at + size], HMALLOC_ORDER[0])


def hmalloc_word(address):
    return hmalloc_number(hmalloc_read(address, HMALLOC_WORD), 0, HMALLOC_WORD)


class HmallocSpan:
    """A header, read once."""

    def __init__(self, heap, address):
        self.heap, self.address = heap, address
        record = hmalloc_read(address, heap.record)
        field = lambda name, size: hmalloc_number(record, getattr(heap, name), size)
        self.start, self.next, self.prev = field("start", HMALLOC_WORD), field("next", HMALLOC_WORD), field("prev", HMALLOC_WORD)
        self.pages, self.kind = field("length", 4), field("kind", 1)
        if self.kind >= len(HMALLOC_KINDS):
            self.kind = HMALLOC_FOREIGN
        self.reciprocal, self.slot = field("reciprocal", 4), field("slot_size", 2)
        self.owner, self.opened = field("owner", 2) & 0xff, field("standing", 2) & 0x1fff
        self.bytes = self.pages * heap.page
        self.end = self.start + self.bytes
        self.bits = [hmalloc_number(record, heap.live + 8 * index, 8) for index in range(16)]

    @property
    def capacity(self):
        return self.bytes * self.reciprocal >> 32

    def is_live(self, slot):
        return self.bits[slot // 64] >> slot % 64 & 1 == 1 and not self.heap.is_freed(self, slot)

    def live(self):
        return [slot for slot in range(min(self.capacity, 1024)) if self.is_live(slot)]


class HmallocHeap:
    def __init__(self, address, offsets):
        if hmalloc_word(offsets) != HMALLOC_WORD or hmalloc_word(offsets + HMALLOC_WORD) != len(HMALLOC_NAMES):
            raise HmallocBroken("the program's hmalloc has another version than this script")
        for index, name in enumerate(HMALLOC_NAMES):
            setattr(self, name, hmalloc_word(offsets + (2 + index) * HMALLOC_WORD))
        self.address = address
        self.base_at, self.page_count = [hmalloc_word(address + self.lookup + at) for at in (self.base, self.pages)]
        self.array = hmalloc_word(address + self.lookup + self.handles)
        self.world_at = hmalloc_word(address + self.world) if self.world else 0
        self.areas = [(self.base_at, self.page_count, self.array)] if self.page_count else []
        for index in range(self.region_count):
            slot = address + self.regions + self.slots + index * self.region_bytes
            start, pages, handles = [hmalloc_word(slot + at) for at in (self.region_start, self.region_pages, self.region_handles)]
            if pages:
                self.areas.append((start, pages, handles))
        self.areas.sort()

    def validated(self):
        """Itself, if each of its areas starts with the header of metadata."""
        for start, _, _ in self.areas:
            span = HmallocSpan(self, self.handle(start))
            hmalloc_ensure(span.start == start and span.kind == HMALLOC_METADATA, 15, start)
        return self

    def handle(self, address):
        """The header that the page map names for a page."""
        for start, pages, handles in self.areas:
            if start <= address < start + pages * self.page:
                return hmalloc_word(handles + (address - start) // self.page * HMALLOC_WORD)
        return 0

    def spans(self):
        at, limit = hmalloc_word(self.address + self.first), sum(pages for _, pages, _ in self.areas)
        while at and limit >= 0:
            span = HmallocSpan(self, at)
            yield span
            at, limit = span.next, limit - 1

    def find(self, address):
        """The span around an address."""
        if not any(start <= address < start + pages * self.page for start, pages, _ in self.areas):
            return None
        handle = self.handle(address // self.page * self.page)
        if handle:
            return HmallocSpan(self, handle)
        return next((span for span in self.spans() if span.start <= address < span.end), None)

    def is_freed(self, span, slot):
        """Whether another thread has freed a slot whose owner does not know yet."""
        if not self.world_at or not span.owner:
            return False
        chunks = self.world_at + self.chunks
        page = (span.start - hmalloc_word(chunks + self.chunk_base)) // self.page
        if page < 0 or page >> 31:
            return False
        leaf = max((page | 63).bit_length() - 6, int(page >= 60))
        origin = hmalloc_word(chunks + self.chunk_origins + leaf * HMALLOC_WORD)
        if not origin:
            return False
        place = origin - 1 + (page * self.chunk_words + slot // self.chunk_slots) * HMALLOC_WORD
        return hmalloc_word(place & (1 << 8 * HMALLOC_WORD) - 1) >> slot % self.chunk_slots & 1 == 1

    def whose(self, span):
        if not span.owner or not self.world_at:
            return "of the heap's own tier"
        tier = hmalloc_word(self.world_at + self.tiers + (span.owner - 1) * HMALLOC_WORD)
        thread, task = hmalloc_word(tier + self.thread), hmalloc_number(hmalloc_read(tier + self.task, 4), 0, 4)
        owner = "thread pointer %#x" % thread if thread > 2 else "a handle" if thread == 2 else "no thread now"
        return "of tier %d (%s%s)" % (span.owner, owner, ", thread %d" % task if task else "")


def hmalloc_heaps():
    """All heaps of the program and its libraries that have been used."""
    found = []
    HMALLOC_ORDER[0] = "big" if "big endian" in gdb.execute("show endian", to_string=True) else "little"
    for line in gdb.execute("info files", to_string=True).splitlines():
        words = line.split()
        if "hmalloc_heaps" not in words:
            continue
        start = int(words[0], 16)
        if hmalloc_read(start, 8) != b"hmalloc1":
            continue
        for entry in range(hmalloc_word(start + 8)):
            heap, offsets = [hmalloc_word(start + 8 + HMALLOC_WORD + (2 * entry + at) * HMALLOC_WORD) for at in (0, 1)]
            if heap and offsets and heap not in [other.address for other in found]:
                try:
                    found.append(HmallocHeap(heap, offsets).validated())
                except HmallocBroken as broken:
                    print("heap at %#x: moved since its first use, or broken: %s" % (heap, broken))
    return found


def hmalloc_describe(heap, address):
    """One line about an address, or None if it is not in the heap."""
    span = heap.find(address)
    if span is None:
        return None
    where = "%#x" % address
    if span.kind != HMALLOC_SLAB:
        state = {HMALLOC_LARGE: "a live block", HMALLOC_SAMPLED: "a sampled block or what is around it", HMALLOC_FREE: "free", HMALLOC_MOVING: "a block that is being moved", HMALLOC_FOREIGN: "another user's of the break"}
        inside = " (%d bytes into it)" % (address - span.start) if address != span.start else ""
        return "%s: %s of %d bytes at %#x%s" % (where, state.get(span.kind, HMALLOC_KINDS[span.kind]), span.bytes, span.start, inside)
    slot, offset = divmod(address - span.start, span.slot)
    slab = "in a slab of %d-byte slots at %#x, %s" % (span.slot, span.start, heap.whose(span))
    if slot >= span.capacity:
        return "%s: the unused tail %s" % (where, slab)
    state = "a live block" if span.is_live(slot) else "free" if slot < span.opened else "free, never used"
    inside = " (%d bytes into it)" % offset if offset else ""
    return "%s: %s of %d bytes at %#x%s, slot %d %s" % (where, state, span.slot, address - offset, inside, slot, slab)


def hmalloc_stats(heap):
    sizes, counts, blocks, live, free, tiers = {}, [0] * len(HMALLOC_KINDS), 0, 0, 0, set()
    for span in heap.spans():
        counts[span.kind] += span.bytes
        if span.kind == HMALLOC_SLAB:
            held = len(span.live())
            blocks, live, free = blocks + held, live + held * span.slot, free + span.bytes - held * span.slot
            count, total = sizes.get(span.slot, (0, 0))
            sizes[span.slot] = (count + held, total + span.capacity)
            tiers.add(span.owner)
        elif span.kind in (HMALLOC_LARGE, HMALLOC_SAMPLED):
            blocks, live = blocks + 1, live + span.bytes
        elif span.kind in (HMALLOC_FREE, HMALLOC_MOVING):
            free += span.bytes
    print("heap at %#x: %d blocks in use, %d bytes; %d free, %d metadata, %d foreign; %d tiers with slabs" % (
        heap.address, blocks, live, free, counts[HMALLOC_METADATA], counts[HMALLOC_FOREIGN], len(tiers)))
    for size in sorted(sizes):
        print("  slots of %5d bytes: %d live of %d" % ((size,) + sizes[size]))
    if counts[HMALLOC_LARGE]:
        print("  large blocks: %d bytes" % counts[HMALLOC_LARGE])


def hmalloc_ensure(holds, invariant, address):
    if not holds:
        raise HmallocBroken("I%d does not hold at %#x" % (invariant, address))


def hmalloc_check(heap):
    """I1, I2, I3, I5, I6, I7, I11, I13 and I15, as far as memory tells."""
    at, previous, areas, spans = None, None, list(heap.areas), 0
    for span in heap.spans():
        if at is None or at == areas[0][0] + areas[0][1] * heap.page:
            areas = areas[1:] if at is not None else areas
            hmalloc_ensure(areas and span.start == areas[0][0] and span.kind == HMALLOC_METADATA, 15, span.start)
        else:
            hmalloc_ensure(span.start == at, 1, at)
            hmalloc_ensure(span.kind != HMALLOC_FREE or previous.kind != HMALLOC_FREE, 3, span.start)
        hmalloc_ensure(span.pages and span.end <= areas[0][0] + areas[0][1] * heap.page, 1, span.start)
        hmalloc_ensure(span.prev == (previous.address if previous else 0), 1, span.start)
        hmalloc_ensure(heap.handle(span.start) == span.address, 2, span.start)
        area, pages, handles = areas[0]
        first = (span.start - area) // heap.page
        owners = hmalloc_read(handles + first * HMALLOC_WORD, span.pages * HMALLOC_WORD)
        rest = span.address if span.kind == HMALLOC_SLAB else 0
        leads = (0, span.address) if span.kind == HMALLOC_SAMPLED else (rest,)
        hmalloc_ensure(all(hmalloc_number(owners, page * HMALLOC_WORD, HMALLOC_WORD) in leads for page in range(1, span.pages)), 5, span.start)
        if span.kind == HMALLOC_SLAB:
            hmalloc_ensure(span.slot and span.reciprocal == -(-(1 << 32) // span.slot) and span.capacity == span.bytes // span.slot, 6, span.start)
            hmalloc_ensure(span.opened <= span.capacity, 7, span.start)
            hmalloc_ensure(sum(bits << 64 * index for index, bits in enumerate(span.bits)) >> span.opened == 0, 7, span.start)
        else:
            hmalloc_ensure(span.reciprocal == 0, 13, span.start)
        at, previous, spans = span.end, span, spans + 1
    if heap.areas:
        hmalloc_ensure(len(areas) == 1 and at == areas[0][0] + areas[0][1] * heap.page, 11, at or 0)
    return spans


class HmallocCommand(gdb.Command):
    """The heaps of hmalloc in this program or core.

hmalloc ADDRESS   which block that is: live or free, its size, its slab, and whose
hmalloc stats     each heap in numbers
hmalloc check     the invariants that can be seen from outside (src/README.md numbers them)
hmalloc heaps     where the heaps are

ADDRESS is any expression. A thread that was stopped inside of the heap may be in the middle of a change."""

    def __init__(self):
        super().__init__("hmalloc", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        actions = {"stats": self.stats, "check": self.check, "heaps": self.heaps}
        try:
            found = hmalloc_heaps()
            if not found:
                raise HmallocBroken("no heap of hmalloc has been used here")
            action = actions.get(argument.strip())
            if action:
                for heap in found:
                    action(heap)
            elif argument.strip():
                self.address(found, int(gdb.parse_and_eval(argument).cast(gdb.lookup_type("unsigned long"))))
            else:
                print(self.__doc__)
        except HmallocBroken as broken:
            raise gdb.GdbError("hmalloc: %s" % broken)

    def stats(self, heap):
        hmalloc_stats(heap)

    def heaps(self, heap):
        print("heap at %#x: %s" % (heap.address, ", ".join("%#x..%#x" % (start, start + pages * heap.page) for start, pages, _ in heap.areas) or "empty"))

    def check(self, heap):
        print("heap at %#x: sound, %d spans" % (heap.address, hmalloc_check(heap)))

    def address(self, found, address):
        lines = [line for line in (hmalloc_describe(heap, address) for heap in found) if line]
        print("\n".join(lines) or "%#x: in no heap of hmalloc" % address)


HmallocCommand()
