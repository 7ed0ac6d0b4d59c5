"""Records what Hugging Face `tokenizers` answers, for TokenizerTests.

    python3 make_fixtures.py DATA      (DATA: the folder with tokenizers/ and glue/)

Writes ../Fixtures/*.json. Needs tokenizers and numpy; versions are stated in the files.
"""
import json
import os
import random
import sys
import unicodedata

import numpy as np
import tokenizers
from tokenizers import Tokenizer, models, trainers
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P

DATA = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "Fixtures")
VERSIONS = f"tokenizers {tokenizers.__version__}, Python {sys.version.split()[0]}"
FAMILIES = ["roberta-base", "gpt2", "bert-base-uncased", "t5"]
MASK64 = (1 << 64) - 1
P_ITEM, P_ROW = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9


class Digest:
    """Rows of numbers: row = sum (x+1) P_ITEM^i, digest = digest P_ROW + row, modulo 2^64."""

    def __init__(self):
        self.value = 0
        self.powers = np.array([1], dtype=np.uint64)

    def add(self, numbers):
        a = np.asarray(numbers, dtype=np.uint64)
        while len(self.powers) < len(a):
            factor = np.uint64(pow(P_ITEM, len(self.powers), 1 << 64))
            self.powers = np.concatenate([self.powers, self.powers * factor])
        row = int(((a + np.uint64(1)) * self.powers[: len(a)]).sum(dtype=np.uint64)) if len(a) else 0
        self.value = (self.value * P_ROW + row) & MASK64

    def text(self):
        return f"{self.value:016x}"


def load(family):
    tokenizer = Tokenizer.from_file(f"{DATA}/tokenizers/{family}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def write(name, value):
    with open(os.path.join(OUT, name), "w") as f:
        if isinstance(value, dict):
            f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {rows(v)}" for k, v in value.items()) + "\n}\n")


def rows(value):
    if isinstance(value, list) and len(value) > 3:
        return "[\n" + ",\n".join(json.dumps(v) for v in value) + "\n]"
    return json.dumps(value)


def hard_texts():
    texts = [
        "", " ", "  ", "\n", "\t\n\r", "a", " a", "a ", "  a  b   c ", "a\n\nb\n c\t\td", "\u00a0a\u00a0\u00a0b",
        "\u3000全角\u3000スペース", "zero\u200bwidth\u200cjoin\u200der\ufeffbom", "\u2028line\u2029para", "a\x0bb\x0cc\x85d",
        "NUL\0in\0side", "\x01\x02\x1f\x7f\x80\x9f", "\ufffd replacement", "soft\u00adhyphen", "👨‍👩‍👧‍👦 family", "🏳️‍🌈🏴‍☠️",
        "👍🏽👍🏿 skin", "🇷🇴🇪🇺", "1️⃣2️⃣", "e\u0301 é E\u0301 É", "a\u0323\u0302 ậ a\u0302\u0323", "Å Å Å", "ﬁ ﬂ ﬃ ﬆ", "½ ² ³ ① Ⅳ ㊿",
        "ǅ ǆ Ǆ", "İstanbul ıI i̇", "ΣΊΣΥΦΟΣ σς", "Straße ẞ", "שָׁלוֹם עולם", "مرحبا بِالعَالَم ١٢٣", "हिन्दी में १२३", "ภาษาไทย กำ", "中文字符測試", "日本語のテキスト カタカナ ｶﾀｶﾅ",
        "한국어 각 각", "Ελληνικά Кириллица Հայերեն ქართული", "𝒜𝓑𝔠 𝟘𝟙𝟚", "\U00020000\U0002a6df\U0002ebf0", "\ue000\U000f0000 private",
        "\u0378\u0530 unassigned", "\u1e9b\u0323", "\u0344\u0343", "'s 't 're 've 'm 'll 'd 'S 'LL", "don't we'll they've I'm he'd 'tis ''s",
        "’s it’s", "!!!???...", "a!b?c", "$£€¥ + < = > ^ ` | ~", "foo_bar-baz@qux.com http://x.y/z?a=b&c=%20", "1234567890 3.14 1,000", "x1y2", "\t'\t's",
        "<mask>", "a <mask> b", "a  <mask>b", "<s></s><pad><unk>", "[MASK] [CLS][SEP] [mask]", "<|endoftext|>a<|endoftext|>", "a\u3000<mask>", "<mask> <mask>",
        "unaffable unbelievableness", "x" * 99, "x" * 100, "x" * 101, "é" * 100, "é" * 101, "ab" * 300, "a\u0301" * 60,
        "supercalifragilisticexpialidocious" * 6, " " * 200, "\u0301\u0301", "\u0e33\u0e49", "\u0f71\u0f72\u0f74\u0f73", "\u1100\u1161\u11a8\u1100\u1161",
        "\u11935\u11930", "\U00011935\U00011930", "a\u08d3\u0301\u0323", "a\u1ab0\u1abf\u0323", "\u0b47\u0b3e \u09c7\u09be", "\u166d\u1885\u1734", "\U000111c9",
        "\U000e0001\U000e0041", "\u180e\u061c\u2066x\u2069", "ⅷ ⓐ ㎏ ℡ №", "𐐀𐐨", "\u0149 \u1fb3 \u1f88", "Ǳ\u0301", "ſ ſt", "…—–‘’“”", "\r\n\r\n", "end\r",
        "\U000e0160\u0307", "\u1fee\u032d\u0309 \u1ffd\u0318", "\u0cca\u0cd5 \u0ccb", "\u0f79\u1cd4", "\u1100\u1161\u11a8\uac00\u11a8\uac01\u11a8",
    ]
    generator = random.Random(20)
    marks = [chr(v) for v in range(0x110000) if unicodedata.category(chr(v))[0] == "M"]
    for _ in range(110):
        text = ""
        for _ in range(generator.randrange(3, 14)):
            kind = generator.random()
            if kind < 0.2:
                text += generator.choice(" \t\n\u00a0\u3000\u200b")
            elif kind < 0.5:
                text += generator.choice("abcdXYZ'stre0123.,!?<>")
            elif kind < 0.65:
                text += generator.choice(marks)
            else:
                value = generator.choice([0x3000, 0x20000, 0x110000])
                value = generator.randrange(0x80, value)
                text += "" if 0xD800 <= value <= 0xDFFF else chr(value)
        texts.append(text)
    return texts


def recorded(encoding):
    return [encoding.ids, encoding.type_ids, encoding.special_tokens_mask]


def hard_unicode():
    texts = hard_texts()
    result = {"made_by": VERSIONS, "texts": texts}
    for family in FAMILIES:
        tokenizer = load(family)
        result[family] = [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
    write("hard_unicode.json", result)


def pairs():
    long = "the quick brown fox jumps over the lazy dog and runs away from it all"
    texts = [("", ""), ("a", ""), ("", "b"), ("hello world", "x"), (long, "short one"), ("short one", long), (long, long + " again"), ("one <mask>", " two [MASK]"), (long, None)]
    result = {"made_by": VERSIONS, "texts": texts}
    for family in FAMILIES:
        tokenizer = load(family)
        added = {True: tokenizer.num_special_tokens_to_add(True), False: tokenizer.num_special_tokens_to_add(False)}
        cases = []
        for index, (a, b) in enumerate(texts):
            for special in (True, False):
                for limit in (None, 4, 5, 8, 9, 12, 17):
                    if limit is None:
                        tokenizer.no_truncation()
                    elif special and limit < added[b is not None]:
                        continue
                    else:
                        tokenizer.enable_truncation(max_length=limit, strategy="longest_first")
                    encoding = tokenizer.encode(a, b, add_special_tokens=special)
                    cases.append([index, special, limit] + recorded(encoding))
        result[family] = cases
    write("pairs.json", result)


def decoding():
    """Ids of ordinary text, and what they decode to."""
    texts = ["Hello, world! It's 5 o'clock ; isn't it?", "don't do not we've . a ' b", "naïve café — 日本 👍🏽", "[MASK] <mask> x", "  two  spaces"]
    result = {"made_by": VERSIONS, "texts": texts}
    for family in FAMILIES:
        tokenizer = load(family)
        result[family] = [
            [e.ids, tokenizer.decode(e.ids), tokenizer.decode(e.ids, skip_special_tokens=False)]
            for e in map(tokenizer.encode, texts)
        ]
    # Ids that cut characters apart.
    tokenizer = load("gpt2")
    ids = tokenizer.encode("👍🏽é日").ids
    result["gpt2"].append([ids[1:-1], tokenizer.decode(ids[1:-1]), tokenizer.decode(ids[1:-1])])
    write("decoding.json", result)


RANGES = [
    (0, 0x3000), (0x3000, 0xD800), (0xE000, 0x10000), (0x10000, 0x12000), (0x12000, 0x20000),
    (0x2F800, 0x2FA20), (0xE0000, 0xE0200),
]


def components():
    """Each stage between a text and a model of the 256 bytes alone, so that the ids are the stage's output.

    A pre-tokenizer is followed by one that puts a space before each piece.
    """
    vocabulary = {c: i for i, c in enumerate(sorted(P.ByteLevel.alphabet()))}
    texts = hard_texts()
    norms = {
        "nfc": N.NFC(), "nfd": N.NFD(), "nfkc": N.NFKC(), "nfkd": N.NFKD(), "lowercase": N.Lowercase(),
        "strip_accents": N.StripAccents(), "strip": N.Strip(), "strip_left": N.Strip(left=True, right=False),
        "replace": N.Replace("a", "é"), "sequence": N.Sequence([N.NFKD(), N.StripAccents(), N.Lowercase(), N.Strip()]),
        "bert": N.BertNormalizer(), "bert_cased": N.BertNormalizer(lowercase=False),
        "bert_accents_only": N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
        "bert_keeps_accents": N.BertNormalizer(strip_accents=False),
    }
    pres = {
        "bert_pre": P.BertPreTokenizer(), "whitespace": P.Whitespace(), "whitespace_split": P.WhitespaceSplit(),
        "byte_level": P.ByteLevel(add_prefix_space=False), "byte_level_prefix": P.ByteLevel(add_prefix_space=True),
    }
    result = {"made_by": VERSIONS, "ranges": RANGES, "vocabulary": [vocabulary], "stages": []}
    for name, stage in list(norms.items()) + list(pres.items()):
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
        if name in norms:
            tokenizer.normalizer = stage
            tokenizer.pre_tokenizer = P.ByteLevel(add_prefix_space=False, use_regex=False)
        else:
            tokenizer.pre_tokenizer = P.Sequence([stage, P.ByteLevel(add_prefix_space=True, use_regex=False)])
        sweeps = []
        for start, end in RANGES:
            digest = Digest()
            for block in range(start, end, 32):
                digest.add(tokenizer.encode("a" + "".join(chr(v) + "a" for v in range(block, block + 32))).ids)
            sweeps.append(digest.text())
        cases = Digest()
        for text in texts:
            cases.add(tokenizer.encode(text).ids)
        json_of = json.loads(tokenizer.to_str())
        result["stages"].append({
            "name": name, "normalizer": json_of["normalizer"], "pre_tokenizer": json_of["pre_tokenizer"],
            "sweeps": sweeps, "texts": cases.text(),
        })
    write("components.json", result)


def files():
    result = {"made_by": VERSIONS, "digest": Digest.__doc__}
    names = sorted(
        f"glue/{folder}/{file}" for folder in os.listdir(f"{DATA}/glue") for file in os.listdir(f"{DATA}/glue/{folder}"))
    tables = {family: load(family) for family in FAMILIES}
    lines = []
    for name in names:
        with open(f"{DATA}/{name}", "rb") as f:
            data = f.read()
        texts = [line.decode() for line in data.split(b"\n")]
        entry = {"file": name, "bytes": len(data), "rows": len(texts)}
        for family, tokenizer in tables.items():
            digest, total = Digest(), 0
            for start in range(0, len(texts), 2000):
                for encoding in tokenizer.encode_batch(texts[start : start + 2000]):
                    digest.add(encoding.ids)
                    total += len(encoding.ids)
            entry[family] = [total, digest.text()]
        lines.append(entry)
    result["files"] = lines
    write("files.json", result)


def trained():
    """A byte-level BPE that the reference's trainer makes from a few sentences."""
    corpus = [
        "A man is playing a large flute.", "A man is playing a flute.", "Three men are playing chess.", "Two men aren't playing chess.",
        "The woman sings, the man plays; the men don't.", "plays play played playing player players", "naïve café naïve café 日本 日本語",
        "  two  spaces\n\nand lines", "sing sings singing singer", "large larger largest", "aaaa aaa aa a aaaaaaa",
    ]
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    result = {"made_by": VERSIONS, "corpus": corpus, "special_tokens": specials, "sizes": []}
    for size in (261, 300, 360, 5000):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = P.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=specials, initial_alphabet=sorted(P.ByteLevel.alphabet()), show_progress=False)
        tokenizer.train_from_iterator(corpus, trainer)
        model = json.loads(tokenizer.to_str())["model"]
        vocabulary = sorted(model["vocab"], key=model["vocab"].get)
        texts = corpus + ["unseen words entirely", "playful<mask> flutes", "émigré"]
        result["sizes"].append({
            "vocabulary_size": size, "tokens": vocabulary[261:], "count": len(vocabulary),
            "ids": [tokenizer.encode(t).ids for t in texts] if size == 360 else [], "texts": texts if size == 360 else [],
        })
    write("trained.json", result)


def main():
    os.makedirs(OUT, exist_ok=True)
    hard_unicode()
    pairs()
    decoding()
    trained()
    components()
    if "--no-files" not in sys.argv:
        files()


if __name__ == "__main__":
    main()
