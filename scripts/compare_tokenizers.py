#!/usr/bin/env python3
"""Compares Perigee's tokenizers with the reference ones on every line of every text file of a folder: ids, and the text of the ids.

    scripts/compare_tokenizers.py DATA --perigee .build/release/perigee

DATA has the published tokenizers in tokenizers/{roberta-base,gpt2,bert-base-uncased,t5}; BART's is RoBERTa's. T5's spiece.model is compared with
tokenizer.json, which is what Transformers makes of it, and with SentencePiece itself: that adds scores in single precision, and so chooses
another of two ways of nearly equal scores now and then ("equal scores"), and it knows no special tokens in texts, so lines with some are left out.
SentencePiece's BPE, as Llama 2 has it, is learnt from the folder's own texts first, with bytes for what it lacks. Needs tokenizers and
sentencepiece. Prints a line for each tokenizer and the first differences; exit code 1 where there is one.
"""
import argparse
import glob
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ENDINGS = (".tsv", ".txt", ".csv", ".json", ".jsonl", ".en", ".ro", ".sgm", ".hyp", ".ref", ".md")
SPECIAL = re.compile("</?s>|<pad>|<unk>|<extra_id_")
SCRIPT = """
local p = params { tokenizer = { "", doc = "folder" }, files = { {}, doc = "texts, one in a line" } }
local tokenizer = tokenizers.load(p.tokenizer)
for _, path in ipairs(p.files) do
  local out = {}
  for line in io.lines(path) do
    local ids = tokenizer:encode(line).input_ids
    out[#out + 1] = table.concat(ids, " ")
    out[#out + 1] = (tokenizer:decode(ids):gsub("\\\\", "\\\\\\\\"):gsub("\\n", "\\\\n"))
    if #out > 4000 then io.stdout:write(table.concat(out, "\\n"), "\\n") out = {} end
  end
  if #out > 0 then io.stdout:write(table.concat(out, "\\n"), "\\n") end
end
"""


def text_files(data):
    paths = sorted(p for p in glob.glob(os.path.join(data, "**", "*"), recursive=True) if os.path.isfile(p))
    for path in paths:
        if "/tokenizers/" in path and "/golden/" not in path: continue
        with open(path, "rb") as f: head = f.read(1 << 16)
        if path.endswith(ENDINGS) or b"\0" not in head: yield path


def lines(path):
    """The file's lines that are UTF-8."""
    with open(path, "rb") as f:
        for line in f.read().split(b"\n"):
            try: yield line.decode("utf-8")
            except UnicodeDecodeError: pass


def reference(path):
    """A function from texts to ids and decoded texts, and one that says whether other ids of a text are as good."""
    if path.endswith(".json"):
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(path)
        tokenizer.no_truncation()
        tokenizer.no_padding()

        def is_tie(text, ids, got): return False

        def run(texts):
            ids = [e.ids for e in tokenizer.encode_batch_fast(texts)]
            return ids, tokenizer.decode_batch(ids)
    else:
        import sentencepiece
        processor = sentencepiece.SentencePieceProcessor(model_file=path)
        is_t5 = "spiece" in path

        def is_tie(text, ids, got):
            return SPECIAL.search(text) or is_t5 and abs(sum(map(processor.get_score, ids)) - sum(map(processor.get_score, got))) < 1e-3

        def decode(row):
            # Transformers counts the unknown token among the special ones, which no text has; the program itself writes " ⁇ ".
            return processor.decode([i for i in row if i != processor.unk_id()])

        def run(texts):
            ids = processor.encode(texts)
            return [row + [processor.eos_id()] if is_t5 else [processor.bos_id()] + row for row in ids], [decode(row) for row in ids]
    return run, is_tie


def learn(files, folder):
    """SentencePiece's BPE with Llama 2's settings, learnt from some lines of every file."""
    import sentencepiece
    texts = [line for path in files for line in list(lines(path))[:300] if line.strip()]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, minloglevel=2, model_type="bpe", vocab_size=8000, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True,
        character_coverage=0.9995, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1, max_sentence_length=100000)
    with open(os.path.join(folder, "tokenizer.model"), "wb") as f: f.write(model.getvalue())


def compare(name, folder, path, beside, files, perigee, work):
    own = os.path.join(work, name)
    os.makedirs(own, exist_ok=True)
    # The form that is compared, alone.
    if not os.path.exists(os.path.join(own, os.path.basename(path))): shutil.copy(path, own)
    for extra in ("tokenizer_config.json", "special_tokens_map.json"):
        if os.path.exists(os.path.join(folder, extra)): shutil.copy(os.path.join(folder, extra), own)
    script = os.path.join(work, "lines.lua")
    with open(script, "w") as f: f.write(SCRIPT)
    copies = []
    for number, file in enumerate(files):
        copies.append(os.path.join(work, f"{number}.lines"))
        if not os.path.exists(copies[-1]):
            with open(copies[-1], "w", encoding="utf-8", newline="\n") as f: f.write("".join(line + "\n" for line in lines(file)))
    command = [perigee, "run", script, "--allow-io", "--quiet", "--overwrite", "--out", os.path.join(work, "run"), "--set", "tokenizer=" + own,
               "--set", "files=" + ",".join(copies)]
    env = dict(os.environ, PERIGEE_CACHE=os.path.join(work, "cache"), XDG_DATA_HOME=os.path.join(work, "data"))
    (run, is_tie), start = reference(beside), time.time()
    # With --allow-io, standard output is the script's: the lines come in order, two for each.
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
        count, tokens, ties, wrong = 0, 0, 0, []
        for file in files:
            batch = []

            def check():
                nonlocal count, tokens, ties
                for text, ids, decoded in zip(batch, *run(batch)):
                    got = [process.stdout.readline().rstrip(b"\n").decode("utf-8", "replace") for _ in range(2)]
                    wanted = [" ".join(map(str, ids)), decoded.replace("\\", "\\\\").replace("\n", "\\n")]
                    if got != wanted:
                        if is_tie(text, ids, [int(i) for i in got[0].split()]): ties += 1
                        else: wrong.append((file, text, wanted, got))
                    count, tokens = count + 1, tokens + len(ids)
                batch.clear()
            for line in lines(file):
                batch.append(line)
                if len(batch) == 2000: check()
            check()
        if process.wait() != 0: sys.exit(f"{name}: perigee ended with code {process.returncode}")
    print(f"{name:20} {len(files)} files  {count} lines  {tokens} tokens  {len(wrong)} lines differ{f', {ties} with equal scores or special tokens' if ties else ''}  {time.time() - start:.0f} s", flush=True)
    for file, text, wanted, got in wrong[:3]:
        print(f"  {file}: {text[:200]!r}")
        for part, a, b in zip(("ids", "text"), wanted, got):
            if a != b: print(f"    {part}: expected {a[:300]!r}\n    {part}: got      {b[:300]!r}")
    return len(wrong)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data")
    p.add_argument("--perigee", default=".build/release/perigee")
    p.add_argument("--only", nargs="*", help="names of tokenizers")
    o = p.parse_args()
    work = tempfile.mkdtemp()
    try:
        files = list(text_files(o.data))
        published = os.path.join(o.data, "tokenizers")
        learn(files, work)
        kinds = [
            ("bart", "roberta-base", "tokenizer.json", None), ("t5", "t5", "tokenizer.json", None), ("t5-spiece", "t5", "spiece.model", "tokenizer.json"),
            ("t5-sentencepiece", "t5", "spiece.model", None), ("llama-sentencepiece", None, "tokenizer.model", None),
            ("gpt2", "gpt2", "tokenizer.json", None), ("bert", "bert-base-uncased", "tokenizer.json", None),
        ]
        wrong = 0
        for name, folder, form, other in kinds:
            if o.only and name not in o.only: continue
            folder = os.path.join(published, folder) if folder else work
            beside = os.path.join(folder, other or form)
            wrong += compare(name, folder, os.path.join(folder, form), beside, files, os.path.abspath(o.perigee), work)
        sys.exit(1 if wrong else 0)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
