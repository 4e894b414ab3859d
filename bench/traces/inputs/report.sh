#!/bin/bash
# What is in a folder of sources: lines by kind, long functions, frequent words. Arguments: the folder.
set -eu
declare -A lines files
while read -r count path; do
    [[ $path == total ]] && continue
    folder=${path%/*}
    lines[$folder]=$((${lines[$folder]:-0} + count))
    files[$folder]=$((${files[$folder]:-0} + 1))
done < <(find "$1" -name '*.rs' -print0 | sort -z | xargs -0 wc -l)
for folder in "${!lines[@]}"; do
    printf '%-60s %4d files %6d lines\n' "$folder" "${files[$folder]}" "${lines[$folder]}"
done | sort | tail -3

find "$1" -name '*.rs' | sort | while read -r path; do
    longest='' length=0 start=0 number=0 name=''
    while IFS= read -r line; do
        number=$((number + 1))
        if [[ $line =~ ^[[:space:]]*(pub[^=]*)?fn\ ([a-z_0-9]+) ]]; then
            start=$number name=${BASH_REMATCH[2]}
        elif [[ $line == '}' || $line == '    }' ]] && ((number - start > length && start)); then
            length=$((number - start)) longest=$name
        fi
    done < "$path"
    echo "$length $longest ${path##*/}"
done | sort -rn | head -3

find "$1" -name '*.rs' -exec cat {} + | grep -oE '[A-Za-z_]{3,}' | sort | uniq -c | sort -rn |
    awk '{ count[length($2)] += $1; word[$2] = $1 } END { for (n in count) print n, count[n] }' | sort -n | sed -E 's/^([0-9]+) /\1 letters: /;5q'
