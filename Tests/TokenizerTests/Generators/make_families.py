"""Records tokenizers built like those of decoder families, for FamilyTests.

    python3 make_families.py DATA      (DATA as for make_fixtures.py)

Writes ../Fixtures/families.json: for each family a small tokenizer with the normalizer, pre-tokenizer, model options, template and
decoder of the published ones, trained on the hard texts, with ids and decoded texts; and pre-tokenizers alone, as
make_fixtures.py's `components` has them.
"""
import json

from make_fixtures import RANGES, VERSIONS, Digest, hard_texts, write
from tokenizers import AddedToken, Regex, Tokenizer, models, trainers
from tokenizers import decoders as D
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as T

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST
QWEN = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern, behavior="isolated", invert=False):
    return P.Split(Regex(pattern), behavior, invert)


def bytes_of(*stages):
    return P.Sequence([*stages, P.ByteLevel(add_prefix_space=False, use_regex=False)])


TEXTS = hard_texts() + [
    "I'LL, WE'VE; he'S l'été d'aujourd'hui qu'il c’est", "Don'T 'ſ 'RE 'K 12345 1234567 ١٢٣٤ ⅣⅤ x12y345", "a\n\n  b\r\n\r\n\tc   \n d  ",
    "def f(x):\n    return x**2  # naïve\n\n\n", "https://example.com/a/b?c=d//e\n/f", "HelloWorld XMLHttpRequest iPhone ÀÉÎ ǅungla",
    "你好，世界！123年。 こんにちは 안녕하세요", "😀😃👩‍💻 a😀b \u0301x e\u0301e\u0301", "<|begin_of_text|>Hi<|eot_id|>\n<|im_start|>user\nx<|im_end|>",
    "<s>[INST] Hi [/INST] a</s> b", "▁a ▁ b", " ▁ ", "\ue000\U0010ffff\U000e0041", "\u200d\u200b x\u2003y\u3000z\u0085w",
    "tab\there\x01\x02\x1f\x1c\x7f", "100,000.50€ $5 5% 1/2 ½ 2²", "x" * 70 + " " * 70 + "\n" * 5 + "9" * 40,
]
CORPUS = TEXTS * 3 + ["the quick brown fox jumps over the lazy dog and hello world again"] * 20


def family(pre, normalizer=None, special=("<|end|>",), begin=None, options={}, decoder=D.ByteLevel(), alphabet=None):
    tokenizer = Tokenizer(models.BPE(**options))
    if normalizer: tokenizer.normalizer = normalizer
    if pre: tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoder
    initial = P.ByteLevel.alphabet() if alphabet is None else []
    trainer = trainers.BpeTrainer(
        vocab_size=1000 if alphabet else 700, special_tokens=list(special) + (alphabet or []), initial_alphabet=sorted(initial), show_progress=False)
    # Characters of the last texts are unknown to the families that spell them as bytes.
    tokenizer.train_from_iterator(CORPUS[:60] + CORPUS[-20:] if alphabet else CORPUS, trainer)
    if alphabet:
        # Only the special ones are found in text.
        value = json.loads(tokenizer.to_str())
        value["added_tokens"] = [t for t in value["added_tokens"] if t["content"] in special]
        tokenizer = Tokenizer.from_str(json.dumps(value))
    if begin:
        ids = [(begin, tokenizer.token_to_id(begin))]
        template = T.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1", special_tokens=ids)
        tokenizer.post_processor = template if alphabet else T.Sequence([T.ByteLevel(trim_offsets=False), template])
    return tokenizer


def unigram(normalizer, falls_back):
    """T5's model with a small vocabulary; with `falls_back`, characters that it lacks are spelt as bytes."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer, tokenizer.decoder = P.Metaspace(), D.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS[:60] + CORPUS[-20:], trainer)
    value = json.loads(tokenizer.to_str())
    pieces = [tuple(p) for p in value["model"]["vocab"]] + ([(b, -15.0) for b in BYTES] if falls_back else [])
    tokenizer.model = models.Unigram(pieces, unk_id=2, byte_fallback=falls_back)
    if falls_back: tokenizer.decoder = LLAMA_DECODER
    tokenizer.post_processor = T.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tokenizer


LLAMA_DECODER = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
BYTES = [f"<0x{i:02X}>" for i in range(256)]
PIECES = dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True)


def families():
    yield "gpt2", family(P.ByteLevel(add_prefix_space=False), special=("<|endoftext|>",))
    yield "llama3", family(
        bytes_of(split(LLAMA3)), special=("<|begin_of_text|>", "<|eot_id|>"), begin="<|begin_of_text|>", options=dict(ignore_merges=True))
    yield "qwen2.5", family(bytes_of(split(QWEN)), N.NFC(), special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    yield "smollm2", family(
        P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)]), special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    yield "mistral-nemo", family(bytes_of(split(TEKKEN)), special=("<unk>", "<s>", "</s>", "[INST]", "[/INST]"), begin="<s>",
                                 options=dict(ignore_merges=True))
    special = ("<unk>", "<s>", "</s>")
    yield "mistral", family(
        None, N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), special, "<s>", PIECES, LLAMA_DECODER, BYTES)
    yield "mistral-metaspace", family(
        P.Metaspace("▁", "first", split=False), None, special, "<s>", PIECES, LLAMA_DECODER, BYTES)
    yield "metaspace", family(P.Metaspace("▁", "always"), None, special, "<s>", PIECES, D.Metaspace("▁", "always"), BYTES)
    yield "t5", unigram(N.Sequence([N.NFKC(), N.Strip(left=False, right=True), N.Replace(Regex(" {2,}"), "▁")]), False)
    yield "unigram-bytes", unigram(N.Sequence([]), True)


def stages():
    vocabulary = {c: i for i, c in enumerate(sorted(P.ByteLevel.alphabet()))}
    pres = {
        "llama3": split(LLAMA3), "qwen": split(QWEN), "tekken": split(TEKKEN),
        "digits": P.Digits(), "individual_digits": P.Digits(individual_digits=True),
        "metaspace": P.Metaspace(), "metaspace_whole": P.Metaspace("_", "never", split=False),
        "letters_removed": split(r"\p{Lu}+|\d", "removed"), "spaces_previous": split(r"\s", "merged_with_previous"),
        "spaces_next": split(r"\s", "merged_with_next"), "contiguous": split(r"\S", "contiguous"),
        "inverted": split(r"[a-f\p{^L}]+", "isolated", True), "removed_inverted": split(r"\P{L}+", "removed", True),
        "previous_inverted": split(r"\s+|\p{P}", "merged_with_previous", True),
        "plain_text": P.Split("a ", "merged_with_next"), "preference": split(r"a|ab|(?:ba){1,2}b?"),
        "ahead_and_behind": split(r"(?<=a)b+|\s(?=\p{L})"), "case": split(r"(?i:k|straSe|é)+"),
    }
    texts = TEXTS + ["abab baba babab ababab", "aab b\u212ak KK STRASE straſe É é", "a a  a b a"]
    for name, stage in pres.items():
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
        tokenizer.pre_tokenizer = P.Sequence([stage, P.ByteLevel(add_prefix_space=True, use_regex=False)])
        sweeps = []
        for start, end in RANGES:
            digest = Digest()
            for block in range(start, end, 32):
                digest.add(tokenizer.encode("a" + "".join(chr(v) + "a" for v in range(block, block + 32))).ids)
            sweeps.append(digest.text())
        cases = [tokenizer.encode(text).ids for text in texts]
        digest = Digest()
        for ids in cases: digest.add(ids)
        yield {"name": name, "pre_tokenizer": json.loads(tokenizer.to_str())["pre_tokenizer"], "sweeps": sweeps, "texts": digest.text()}, texts, vocabulary


if __name__ == "__main__":
    result = {"made_by": VERSIONS, "ranges": RANGES, "families": [], "stages": []}
    for name, tokenizer in families():
        encodings = [tokenizer.encode(t) for t in TEXTS]
        result["families"].append({
            # As text: readers take tokens that are canonically equivalent for the same key.
            "name": name, "tokenizer": tokenizer.to_str(),
            "ids": [e.ids for e in encodings],
            "pairs": [tokenizer.encode(a, b).ids for a, b in zip(TEXTS[:20], TEXTS[40:60])],
            "decoded": [tokenizer.decode(e.ids) for e in encodings],
            "whole": [tokenizer.decode(e.ids, skip_special_tokens=False) for e in encodings],
            # Ids that cut characters apart, and bytes that are no text.
            "pieces": [[e.ids[1:4], tokenizer.decode(e.ids[1:4])] for e in encodings if len(e.ids) > 4],
        })
    for stage, texts, vocabulary in stages():
        result["stages"].append(stage)
    result["stage_texts"], result["vocabulary"], result["texts"] = texts, [vocabulary], TEXTS
    write("families.json", result)
