"""Counts words and pairs of words, and groups them by length, as a script about a text would."""
import collections
import json
import sys

words = collections.Counter()
pairs = collections.defaultdict(list)
for number, line in enumerate(sys.stdin):
    parts = line.split()
    words.update(parts)
    if number % 2 == 0:
        for first, second in zip(parts, parts[1:]):
            pairs[first].append((second, number))

groups = {}
for word, count in words.items():
    groups.setdefault(len(word), []).append({"word": word, "count": count, "next": pairs.get(word, [])[:5]})
text = json.dumps(groups, sort_keys=True)
again = json.loads(text)
for length in sorted(again, key=int):
    entries = sorted(again[length], key=lambda entry: (-entry["count"], entry["word"]))
    print(length, len(entries), " ".join("%s=%d" % (entry["word"], entry["count"]) for entry in entries[:50]))
print(sum(len(places) for places in pairs.values()), len(text))
