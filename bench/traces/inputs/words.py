"""An index of the words in a folder of sources: which lines they stand on, the most frequent ones, their neighbours."""

import collections
import json
import pathlib
import re
import sys

index = collections.defaultdict(list)
neighbours = collections.Counter()
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.rs")):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = re.findall(r"[A-Za-z_]{3,}", line)
        neighbours.update(zip(words, words[1:]))
        for word in words:
            index[word].append({"file": path.name, "line": number})

common = sorted(index.items(), key=lambda entry: (-len(entry[1]), entry[0]))[:300]
text = json.dumps({"words": dict(common), "pairs": [[*pair, n] for pair, n in neighbours.most_common(500)]}, indent=1)
again = json.loads(text)
print(len(index), "words,", len(neighbours), "pairs,", len(text), "bytes,", again["pairs"][0])
