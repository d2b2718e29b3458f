"""Finds the forms of ci in the poems themselves: what most poems to a tune have in common."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from models.verse.forms import Form
from models.verse.poem import lines_of, stops_of
from models.verse.rhymes import Rhymes

COMMON = 60  # poems of a tune's commonest shape, for it to be a form
RHYMING = 0.6  # of them that rhyme in a pair of lines which is to rhyme

Lines = list[str]


def learn_forms(poems: Iterable[tuple[str, str]], rhymes: Rhymes) -> list[Form]:
    """Of (tune, text) pairs, the shape that most poems of each tune have."""
    by_tune = defaultdict(list)
    for tune, text in poems:
        by_tune[tune].append((lines_of(text), stops_of(text)))
    made = []
    for tune, found in sorted(by_tune.items()):
        shape, count = Counter(tuple(map(len, lines)) for lines, _ in found).most_common(1)[0]
        if count < COMMON:
            continue
        alike = [
            (lines, stops) for lines, stops in found if tuple(map(len, lines)) == shape and len(stops) == len(shape)
        ]
        stops = "".join(Counter(stops[i] for _, stops in alike).most_common(1)[0][0] for i in range(len(shape)))
        ends = [[line[-1] for line in lines] for lines, _ in alike]
        made.append(Form(tune, tune, shape, rhyming(ends, rhymes), stops))
    return made


def rhyming(ends: list[Lines], rhymes: Rhymes) -> tuple[frozenset[int], ...]:
    """Sets of lines that rhyme with each other in most poems, of which these are the last characters of the lines."""
    sets: list[set[int]] = []
    for i in range(len(ends[0])):
        for earlier in sets:
            share = max(sum(bool(rhymes.rhyme((last[i], last[j]))) for last in ends) for j in earlier) / len(ends)
            if share > RHYMING:
                earlier.add(i)
                break
        else:
            sets.append({i})
    return tuple(frozenset(found) for found in sets if len(found) > 1)
