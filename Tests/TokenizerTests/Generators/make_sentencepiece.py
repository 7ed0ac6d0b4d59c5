"""Records what the program that trains them makes of `tokenizer.model` files, for SentencePieceTests.

    python3 make_sentencepiece.py DATA      (DATA as for make_fixtures.py; needs sentencepiece==0.2.3 beside what that needs)

Trains a small BPE model of each style on some lines of the shared files and hard texts, writes it to ../Fixtures/sentencepiece/<style>.model, and to
../Fixtures/sentencepiece.json its ids and decoded texts, and digests of its ids of the shared files.
"""
import io
import os
import random

import sentencepiece
from make_families import CORPUS, TEXTS
from make_fixtures import DATA, OUT, VERSIONS, Digest, write

COMMON = dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
              allow_whitespace_only_pieces=True, split_digits=True, character_coverage=0.99, num_threads=1, max_sentence_length=100000)
STYLES = {
    "llama": dict(COMMON, vocab_size=1000, unk_id=0, bos_id=1, eos_id=2, pad_id=-1),
    "gemma": dict(COMMON, vocab_size=1000, add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>",
                  bos_piece="<bos>", user_defined_symbols=["<start_of_turn>", "\n", "\n\n", "▁▁", "▁▁▁▁", "\t\t", "ab", "<b>"]),
    # What the trainer does if nobody says otherwise, but for the large table of characters.
    "plain": dict(model_type="bpe", vocab_size=700, normalization_rule_name="identity", character_coverage=0.99, num_threads=1, max_sentence_length=100000),
}
# The trainer takes no line ends for text unless they are symbols of the user's.
LINES = [line for name in ("nlg/wmt16_en_ro/dev.ro", "nlg/e2e/devset.csv") for line in open(os.path.join(DATA, name), encoding="utf-8").read().split("\n")[:400]]
# Pieces that overlap with themselves in many ways.
RNG = random.Random(3)
RANDOM = ["".join(RNG.choice(letters) for _ in range(RNG.randint(1, 60))) for letters in ["xy"] * 200 + ["xyz "] * 200]
SENTENCES = LINES + RANDOM[::2] + [t for t in CORPUS[:60] + CORPUS[-40:] if t.strip() and "\0" not in t]
FILES = ["nlg/wmt16_en_ro/dev.ro", "nlg/wmt16_en_ro/test.en", "nlg/e2e/devset.csv", "nlg/xsum/dev.jsonl", "nlg/e2e/testset_w_refs.csv", "glue/MRPC/dev.tsv", "glue/RTE/dev.tsv",
         "glue/CoLA/dev.tsv", "glue/STS-B/dev.tsv"]


def texts(style):
    """Texts of control symbols are text to the program, and symbols to everybody else."""
    return [t for t in TEXTS + RANDOM[1::8] if not any(s in t for s in ["<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>"]) and "\0" not in t]


if __name__ == "__main__":
    folder = os.path.join(OUT, "sentencepiece")
    os.makedirs(folder, exist_ok=True)
    result = {"made_by": f"sentencepiece {sentencepiece.__version__}, {VERSIONS}", "styles": []}
    for style, options in STYLES.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SENTENCES), model_writer=model, minloglevel=2, **options)
        path = os.path.join(folder, style + ".model")
        with open(path, "wb") as f:
            f.write(model.getvalue())
        processor = sentencepiece.SentencePieceProcessor(model_file=path)
        ids = [processor.encode(t) for t in texts(style)]
        files = []
        for name in FILES:
            digest, total, tokens = Digest(), 0, 0
            with open(os.path.join(DATA, name), "rb") as f:
                data = f.read()
            for line in data.decode("utf-8", "replace").split("\n"):
                row = processor.encode(line)
                digest.add(row)
                tokens += len(row)
            files.append([name, len(data), tokens, digest.text()])
        result["styles"].append({"name": style, "ids": ids, "decoded": [processor.decode(row) for row in ids], "files": files})
    result["texts"] = texts("")
    write("sentencepiece.json", result)
