"""Ways to damage a file. Each returns the new bytes, and whether a reader can tell that they are damaged.

A reader cannot tell where the damaged file is one that somebody could have meant: another number of the same kind in a
configuration, other letters in a text, other bits in a weight of a format without checksums. Such a file may give other
numbers, but no crash, no hang and no long message.
"""

import json
import random

WHOLE_NUMBERS = [0, 1, -1, 2, 7, 127, 128, 255, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**30]
STRANGE_VALUES = [
    None, True, False, 0, -1, 1.5, 1e308, 2**63, "", "\0", "a/../../b", "x" * 5000, "é" * 300, [], {}, [[]], [None], {"": ""},
    ["x"] * 1000, {"a": {"b": {"c": {}}}},
]


def truncate(rng, data):
    return data[: rng.randrange(len(data))], True


def flip(rng, data):
    copy = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 4, 30])):
        copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
    return bytes(copy), False


def overwrite(rng, data):
    at, length = rng.randrange(len(data)), rng.choice([1, 4, 8, 64, 1000])
    piece = rng.choice([b"\0", b"\xff", b"\x7f", b" ", b"{", b'"']) * length
    return data[:at] + piece + data[at + length :], False


def insert(rng, data):
    at = rng.randrange(len(data) + 1)
    piece = rng.choice([b"\0" * 8, b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b"x" * 100000, rng.randbytes(16), b"[" * 5000])
    return data[:at] + piece + data[at:], False


def remove(rng, data):
    at, length = rng.randrange(len(data)), rng.choice([1, 1, 8, 100, 5000])
    return data[:at] + data[at + length :], False


def repeat(rng, data):
    at, length = rng.randrange(len(data)), rng.choice([1, 8, 100, 5000])
    return data[: at + length] + data[at:], False


def number_at(rng, data):
    """A number of 8, 4 or 2 bytes, as headers have them, mostly near the start or the end."""
    size = rng.choice([8, 4, 2])
    if len(data) < size:
        return data, False
    places = [rng.randrange(min(len(data) - size + 1, 64)), rng.randrange(len(data) - size + 1), max(0, len(data) - rng.randrange(size, 100))]
    at = rng.choice(places)
    value = rng.choice(WHOLE_NUMBERS) % (1 << (8 * size))
    return data[:at] + value.to_bytes(size, "little") + data[at + size :], False


def empty(rng, data):
    return b"", True


def other_file(rng, data):
    return rng.choice([rng.randbytes(200), b"PK\x03\x04" + rng.randbytes(60), b"{}", b"[]", b"null", b"\x80\x02}q\x00.", b"not this\n"]), True


BYTES = [truncate, truncate, flip, flip, overwrite, insert, remove, repeat, number_at, number_at, empty, other_file]


def lines(rng, data):
    """Whole lines lost, doubled, swapped or joined."""
    parts = data.split(b"\n")
    i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
    way = rng.randrange(4)
    if way == 0:
        del parts[i]
    elif way == 1:
        parts.insert(j, parts[i])
    elif way == 2:
        parts[i], parts[j] = parts[j], parts[i]
    else:
        parts[i : i + 2] = [b"".join(parts[i : i + 2])]
    return b"\n".join(parts), False


TEXT = BYTES + [lines, lines, lines]


def _places(value, path=()):
    """All paths of a JSON value: to members of objects and to the first and last elements of lists."""
    if isinstance(value, dict):
        items = list(value.items())
        for key, inner in items if len(items) < 60 else items[:30] + items[-30:]:
            yield path + (key,)
            yield from _places(inner, path + (key,))
    elif isinstance(value, list):
        for i in sorted({0, 1, len(value) // 2, len(value) - 1} & set(range(len(value)))):
            yield path + (i,)
            yield from _places(value[i], path + (i,))


def _kind(value):
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return type(value).__name__


def json_value(rng, data):
    """One value of a JSON file replaced, lost, renamed or doubled."""
    value = json.loads(data)
    paths = list(_places(value))
    if not paths:
        return rng.choice([b"0", b"[]", b"{"]), True
    path = rng.choice(paths)
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    key = path[-1]
    way = rng.randrange(10)
    if way == 0:
        del parent[key]
        return json.dumps(value).encode(), False
    if way == 1 and isinstance(parent, dict):
        parent[key + rng.choice(["s", "_", " ", "\0"])] = parent.pop(key)
        return json.dumps(value).encode(), False
    if way == 2 and isinstance(parent, dict):
        # The same key twice: the text is made by hand, since a dictionary cannot hold it.
        marker = "\x01marker"
        parent[marker] = rng.choice(STRANGE_VALUES)
        return json.dumps(value).replace(json.dumps(marker), json.dumps(str(key))).encode(), False
    if way == 3:
        depth = rng.choice([50, 600, 100000])
        marker = "\x01marker"
        parent[key] = marker
        return json.dumps(value).replace(json.dumps(marker), "[" * depth + "]" * depth).encode(), False
    new = rng.choice(STRANGE_VALUES + WHOLE_NUMBERS)
    old_kind = _kind(parent[key])
    parent[key] = new
    # Null stands for a key that is not there in Hugging Face's files; a list's element has no name to be checked by.
    noticeable = _kind(new) != old_kind and new is not None and not isinstance(key, int)
    return json.dumps(value).encode(), noticeable


JSON = BYTES + [json_value] * 14


def draw(rng: random.Random, kind: str, data: bytes):
    """New bytes that differ, whether that can be noticed, and the name of the way."""
    ways = {"json": JSON, "text": TEXT, "binary": BYTES}[kind]
    for _ in range(20):
        way = rng.choice(ways)
        if not data and way not in (insert, other_file):
            continue
        try:
            damaged, noticeable = way(rng, data)
        except ValueError:
            continue
        if damaged != data:
            return damaged, noticeable, way.__name__
    return b"", True, "empty"
