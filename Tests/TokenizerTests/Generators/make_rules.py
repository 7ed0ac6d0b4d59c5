"""Records rules of Hugging Face `tokenizers` that published vocabularies do not show, for RuleTests.

    python3 make_rules.py

Writes ../Fixtures/truncation.json, added_tokens.json, overlapping_tokens.json and long_words.json. Needs tokenizers alone; nothing is random.
"""
import json
import os
import sys

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Fixtures")
VERSIONS = f"tokenizers {tokenizers.__version__}, Python {sys.version.split()[0]}"
LONGEST = 9


def write(name, value):
    with open(os.path.join(OUT, name), "w") as f:
        f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}\n")


def word_piece(words):
    vocabulary = {word: i for i, word in enumerate(["[UNK]"] + words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def truncation():
    """`longest_first` for every pair of lengths: [first, second, limit, kept of the first, kept of the second]."""
    tokenizer = word_piece(["a", "b"])
    cases = []
    for first in range(LONGEST + 1):
        for second in range(LONGEST + 1):
            for limit in range(1, first + second + 2):
                tokenizer.enable_truncation(max_length=limit, strategy="longest_first")
                ids = tokenizer.encode(" ".join("a" * first), " ".join("b" * second)).ids
                cases.append([first, second, limit, ids.count(1), ids.count(2)])
    tokenizer.no_truncation()
    write("truncation.json", {"made_by": VERSIONS, "tokenizer": json.loads(tokenizer.to_str()), "cases": cases})


# Word characters of several kinds, and what looks like them: digits of other scripts, marks, joiners, circled letters, superscripts.
NEIGHBOURS = (
    "a Z _ 1 . - ' < > é ß ª º ² ½ ① Ⅳ ⓐ 中 か ｶ ﷺ ا ١ ९ ן ‿ ﹏ 😀 © \u0301 \u0903 \u20dd \u200c \u200d \u00ad \u200b \u00a0 \u3000 "
    "\u0378 \u037a \u1d40 \U0001d7d8 \U00010900 \U000e0101 \U0001f1e6 \U00020000 \u30fb \u00b7 \u0660"
).split(" ") + [" ", "\t", "\n", ""]


def added_tokens():
    """Every kind of added token between every two of some neighbours: the ids of each text."""
    tokenizer = word_piece(["x", "##x"])
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.add_special_tokens([AddedToken("<s>", single_word=True), AddedToken("<free>")])
    tokenizer.add_tokens([
        AddedToken("foo", single_word=True),
        AddedToken("Raw", single_word=True, normalized=False),
        AddedToken("left", single_word=True, lstrip=True),
        AddedToken("right", single_word=True, rstrip=True),
    ])
    tokens = ["<s>", "<free>", "foo", "FOO", "Raw", "raw", "left", "right"]
    texts = []
    for token in tokens:
        texts += [c + token + "." for c in NEIGHBOURS] + ["." + token + c for c in NEIGHBOURS]
        texts += [a + token + b for a in ("x", " ", "  ", "") for b in ("x", " ", "  ", "")]
        texts += [token + other for other in tokens] + [token + " " + other for other in tokens] + [token + token + token]
    ids = [tokenizer.encode(text).ids for text in texts]
    write("added_tokens.json", {
        "made_by": VERSIONS, "tokenizer": json.loads(tokenizer.to_str()), "texts": texts, "ids": ids,
    })


def overlapping_tokens():
    """Added tokens that begin, end or contain each other: the leftmost wins, and of several there the longest."""
    tokenizer = word_piece(["x", "a", "##b"])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("ab", "abcd", "abc", "bc", "bcde", "cdef", "e", "é", "éé")])
    tokenizer.add_tokens([AddedToken(t, normalized=True) for t in ("yz", "y", "yzy")])
    texts = []
    for length in range(1, 9):
        texts += [("abcdefabcdef"[i : i + length]) for i in range(6)] + [("abcdef"[i:] + "abcdef"[:i])[:length] for i in range(6)]
    texts += ["abcdeabcf", "aabab", "bcdcdef", "ééé", "éeé", "abé", "yzyzy", "yyz", "abyz", "zyabcd", "x ab x", "", "xabx", "abcxde"]
    texts = sorted(set(texts))
    ids = [tokenizer.encode(text).ids for text in texts]
    write("overlapping_tokens.json", {
        "made_by": VERSIONS, "tokenizer": json.loads(tokenizer.to_str()), "texts": texts, "ids": ids,
    })


def long_words():
    """WordPiece's limit of a word counts characters, not bytes, and the longest word is still spelt."""
    vocabulary = {w: i for i, w in enumerate(["[UNK]", "a", "##a", "é", "##é", "中", "##中", "😀", "##😀"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=6))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    texts = [c * n for c in "aé中😀" for n in range(1, 9)] + ["aé中😀aé", "aé中😀aéa", "é a é", "ééééééé aaaaaa 中中中中中中"]
    ids = [tokenizer.encode(text).ids for text in texts]
    write("long_words.json", {
        "made_by": VERSIONS, "tokenizer": json.loads(tokenizer.to_str()), "texts": texts, "ids": ids,
    })


truncation()
added_tokens()
overlapping_tokens()
long_words()
