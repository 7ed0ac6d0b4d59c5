"""Every format that the program reads: a small undamaged example of each, and a command whose output shows what was read.

The examples are made by the program itself (models, adapters, runs, stored stages, token caches), by hand (vocabularies,
data), and by the reference implementations (Tests/Fixtures).
"""

import json
import os
import pathlib
import shutil
import subprocess
import time

PLAIN = ["--threads", "1", "--precision", "fp32", "--memory", "2G", "--quiet"]

READ_MODEL = """
local p = params { m = { "m", doc = "model" }, a = { "", doc = "adapter" }, n = 2 }
local model = models.load(p.m):classifier { num_labels = p.n, seed = 1 }
if p.a ~= "" then model:load_adapter(p.a) end
for _, r in ipairs(model:predict { "the red cat sat on a mat .", "A é中 [MASK] <mask> 12" }) do
  local names = {}
  for name in pairs(r.probabilities) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do print(name, ("%.7g"):format(r.probabilities[name])) end
end
"""

READ_TASK = """
local p = params { f = { "f", doc = "data" }, how = { "csv", doc = "kind" } }
local task
if p.how == "glue" then task = tasks.glue("rte", p.f)
elseif p.how == "text" then task = tasks.masked_lm { train_file = p.f }
else task = tasks.table { train_file = p.f, text_column = "text", label_column = "label" } end
print(task.train_size, task.num_labels)
for i = 0, task.train_size - 1 do local e = task:example(i) print(e.text, e.text_pair, e.label) end
"""

READ_TENSORS = """
local p = params { f = { "f", doc = "file" } }
local all, names = tensor.load(p.f), {}
for name in pairs(all) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do print(name, all[name]) end
"""

TRAIN = """
local p = params { steps = 30, rate = 1e-3 }
local task = tasks.glue("rte", "builtin:rte", { max_train_samples = 64, max_eval_samples = 16 })
local s = stage("one", function()
  local m = models.load("builtin:tiny"):classifier { task = task }
  m:add_adapter(adapters.lora { r = 2, target_modules = { "query" } })
  return trainer.fit { model = m, task = task, max_steps = p.steps, learning_rate = p.rate, save_seconds = 0 }
end)
print(("%.7g %.7g"):format(s.metrics.eval_loss, s.metrics.eval_accuracy))
for _, r in ipairs(s.model:predict { "the red cat sat on a mat ." }) do
  for _, name in ipairs(s.model.labels) do print(name, ("%.7g"):format(r.probabilities[name])) end
end
"""

MAKE = """
models.load("builtin:tiny"):classifier { num_labels = 2 }:save("model")
local base = models.load("model")
local made = {
  lora = adapters.lora { r = 2, target_modules = { "query" } }, ia3 = adapters.ia3 {}, vera = adapters.vera { r = 4 },
  prefix = adapters.prefix_tuning { num_virtual_tokens = 3 }, glora = adapters.glora { r = 2 }, dora = adapters.lora { r = 2, use_dora = true },
  delora = adapters.delora { r = 2 }, houlsby = adapters.houlsby {}, bitfit = adapters.bitfit {}, mini = adapters.lora_mini {},
}
for name, adapter in pairs(made) do
  local m = base:classifier { num_labels = 2 }
  m:add_adapter(adapter)
  m:save_adapter("adapter-" .. name)
end
tensor.save("tensors.safetensors", { a = tensor.ones { 3, 4 }, b = tensor.zeros { 0 }, c = tensor.full({ 2, 2, 2 }, 0.5) })
"""

# How the damage of a format shows: "all" of it, since the program checks what it wrote itself; "structure", where a reader can
# tell that the file is broken, though not that a value is another; "nothing", since any such file is somebody's text.


class Format:
    def __init__(self, name, kind, path, arguments, shows="structure", run=False):
        self.name, self.kind, self.path, self.arguments, self.shows, self.is_run = name, kind, path, arguments, shows, run

    def can_notice(self, way, noticeable):
        return self.shows == "all" or (self.shows == "structure" and noticeable)


class Corpus:
    """A folder with an undamaged example of every format."""

    def __init__(self, program, root, folder):
        self.program, self.root, self.folder = program, pathlib.Path(root), pathlib.Path(folder)
        self.formats = []

    def make(self):
        for name, text in [("model", READ_MODEL), ("task", READ_TASK), ("tensors", READ_TENSORS), ("train", TRAIN), ("make", MAKE)]:
            (self.folder / (name + ".lua")).write_text(text)
        self._perigee("run", "make.lua", "--out", "made", *PLAIN)
        self._models()
        self._adapters()
        self._data()
        self._archives()
        self._runs()
        return self.formats

    def environment(self, folder):
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        return dict(
            keep, HOME=str(folder / "home"), PERIGEE_CACHE=str(folder / "cache"), HF_HOME=str(folder / "hub"), NO_COLOR="1",
            SWIFT_BACKTRACE="enable=no")

    def _perigee(self, *arguments):
        done = subprocess.run(
            [self.program, *arguments], cwd=self.folder, env=self.environment(self.folder), capture_output=True, text=True,
            stdin=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit("fuzz: the undamaged example does not work: %s\n%s" % (" ".join(arguments), done.stderr))
        return done.stdout

    def _add(self, *arguments, **named):
        self.formats.append(Format(*arguments, **named))

    def _model(self, folder, adapter=None, labels=2):
        given = ["m=" + folder, "n=%d" % labels] + (["a=" + adapter] if adapter else [])
        return ["check", "model.lua", *[word for value in given for word in ("--set", value)], *PLAIN]

    def _models(self):
        shutil.copytree(self.folder / "made/model", self.folder / "m")
        read = self._model("m")
        for file, kind in [
            ("config.json", "json"), ("model.safetensors", "binary"), ("tokenizer.json", "json"), ("tokenizer_config.json", "json"),
            ("special_tokens_map.json", "json"),
        ]:
            self._add(file, kind, "m/" + file, read)
        fixtures = self.root / "Tests/Fixtures"
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "cat", "sat", "on", "a", "mat", ".", "##s", "##e"]
        words += ["w%d" % i for i in range(120 - len(words))]
        for name, folder in [("bert", "models/tiny-bert"), ("sharded", "models/tiny-bert-sharded"), ("nf4", "quantized/nf4")]:
            target = self.folder / name
            shutil.copytree(fixtures / folder, target)
            size = json.loads((target / "config.json").read_text())["vocab_size"]
            (target / "vocab.txt").write_text("\n".join((words + ["x%d" % i for i in range(size)])[:size]) + "\n")
        self._add("vocab.txt", "text", "bert/vocab.txt", self._model("bert"), shows="nothing")
        self._add("model.safetensors.index.json", "json", "sharded/model.safetensors.index.json", self._model("sharded"))
        self._add("shard", "binary", "sharded/model-00002-of-00003.safetensors", self._model("sharded"))
        self._add("4-bit weights", "binary", "nf4/model.safetensors", self._model("nf4", labels=3))
        self._add("4-bit config.json", "json", "nf4/config.json", self._model("nf4", labels=3))
        target = self.folder / "roberta"
        shutil.copytree(fixtures / "models/tiny-roberta", target)
        letters = [chr(c) for c in range(33, 120)]
        tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *letters]
        pairs = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "t"), ("Ġ", "c"), ("Ġc", "at")]
        tokens += [a + b for a, b in pairs]
        tokens += ["w%d" % i for i in range(120 - len(tokens))]
        (target / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
        (target / "merges.txt").write_text("#version: 0.2\n" + "".join("%s %s\n" % pair for pair in pairs))
        (target / "added_tokens.json").write_text(json.dumps({"w9": tokens.index("w9")}))
        read = self._model("roberta")
        self._add("vocab.json", "json", "roberta/vocab.json", read)
        self._add("merges.txt", "text", "roberta/merges.txt", read, shows="nothing")
        self._add("added_tokens.json", "json", "roberta/added_tokens.json", read)
        hub = self.folder / "hub/hub/models--some--model"
        shutil.copytree(self.folder / "bert", hub / "snapshots/abc")
        (hub / "refs").mkdir()
        (hub / "refs/main").write_text("abc")
        self._add("hub reference", "text", "hub/hub/models--some--model/refs/main", self._model("some/model"))

    def _adapters(self):
        for made in sorted((self.folder / "made").glob("adapter-*")):
            folder = made.name
            shutil.copytree(made, self.folder / folder)
            read = self._model("m", folder)
            for file in sorted(p.name for p in made.iterdir()):
                kind = "json" if file.endswith(".json") else "binary"
                self._add("%s %s" % (folder, file), kind, "%s/%s" % (folder, file), read)
        for folder in sorted((self.root / "Tests/Fixtures/peft").glob("tiny-bert-*")):
            name = "peft-" + folder.name
            shutil.copytree(folder / "adapter", self.folder / name)
            read = self._model("bert", name)
            if subprocess.run([self.program, *read], cwd=self.folder, env=self.environment(self.folder), capture_output=True).returncode:
                continue
            for file in sorted(p.name for p in (folder / "adapter").iterdir() if p.suffix in (".json", ".safetensors", ".bin")):
                kind = "json" if file.endswith(".json") else "binary"
                self._add("%s %s" % (name, file), kind, "%s/%s" % (name, file), read)

    def _data(self):
        rows = [("the red cat", 1), ("a \"quoted\" dog, and", 0), ("é中 zwei\u00a0", 1), ("sat on a mat .", 0)] * 3
        quote = lambda text: '"' + text.replace('"', '""') + '"'
        (self.folder / "d.csv").write_text("text,label\n" + "".join("%s,l%d\n" % (quote(t), n) for t, n in rows))
        (self.folder / "d.tsv").write_text("text\tlabel\n" + "".join("%s\tl%d\n" % (t, n) for t, n in rows))
        (self.folder / "d.jsonl").write_text("".join(json.dumps({"text": t, "label": "l%d" % n}) + "\n" for t, n in rows))
        (self.folder / "d.txt").write_text("".join("%s\n" % t for t, _ in rows))
        (self.folder / "RTE").mkdir()
        for name in ("train.tsv", "dev.tsv"):
            (self.folder / "RTE" / name).write_text(
                "index\tsentence1\tsentence2\tlabel\n"
                + "".join("%d\t%s\tx\t%s\n" % (i, t, "entailment" if n else "not_entailment") for i, (t, n) in enumerate(rows)))
        read = lambda file, how: ["check", "task.lua", "--set", "f=" + file, "--set", "how=" + how, *PLAIN]
        for file in ("d.csv", "d.tsv", "d.jsonl"):
            self._add(file, "text", file, read(file, "table"), shows="nothing")
        self._add("d.txt", "text", "d.txt", read("d.txt", "text"), shows="nothing")
        self._add("RTE/train.tsv", "text", "RTE/train.tsv", read("RTE", "glue"), shows="nothing")

    def _archives(self):
        read = lambda file: ["check", "tensors.lua", "--set", "f=" + file, *PLAIN]
        for file in sorted((self.root / "Tests/Fixtures/torch").glob("*.bin")):
            shutil.copy(file, self.folder)
            arguments = read(file.name)
            if not subprocess.run([self.program, *arguments], cwd=self.folder, env=self.environment(self.folder), capture_output=True).returncode:
                self._add(file.name, "binary", file.name, arguments)
        shutil.copy(self.folder / "made/tensors.safetensors", self.folder)
        self._add("tensors.safetensors", "binary", "tensors.safetensors", read("tensors.safetensors"))

    def _runs(self):
        """A finished run with its stored stage, and one that was killed with a saved state."""
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        self._perigee("run", "train.lua", "--out", "r", "--set", "steps=20", "--seed", "7", *PLAIN)
        again = ["run", "--resume", "r", *PLAIN]
        for file in ("command.json", "params.json"):
            self._add("run " + file, "json", "r/" + file, again, run=True)
        for file in sorted(p.relative_to(self.folder).as_posix() for p in (self.folder / "r").rglob("*") if p.is_file()):
            if file not in ("r/command.json", "r/params.json", "r/.lock") and "/code/" not in file:
                self._add("run " + file[2:], "json" if file.endswith(".json") else "binary", file, again, shows="all", run=True)
        for file in sorted(p.relative_to(self.folder).as_posix() for p in (self.folder / "cache").rglob("*") if p.is_file()):
            name = "store " + file.split("/")[-1]
            self._add(name, "json" if file.endswith(".json") else "binary", file, again, shows="all", run=True)
        self._killed_run()

    def _killed_run(self):
        for attempt in range(30):
            for folder in ("r2", "cache2"):
                shutil.rmtree(self.folder / folder, ignore_errors=True)
            environment = dict(self.environment(self.folder), PERIGEE_CACHE=str(self.folder / "cache2"))
            process = subprocess.Popen(
                [self.program, "run", "train.lua", "--out", "r2", "--set", "steps=60", *PLAIN], cwd=self.folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            states = []
            while process.poll() is None and not states:
                states = [p for p in (self.folder / "cache2").rglob("*") if ".partial" in str(p) and p.is_file() and p.suffix == ".safetensors"]
                time.sleep(0.002)
            process.kill()
            process.wait()
            files = [p for p in (self.folder / "cache2").rglob("*") if ".partial" in str(p) and p.is_file() and p.stat().st_size > 0]
            if any(p.suffix == ".safetensors" for p in files):
                break
        else:
            print("note: no saved state of a killed run could be had; its files are not damaged")
            return
        for path in sorted(files):
            file = path.relative_to(self.folder).as_posix()
            form = Format(
                "state " + path.name, "json" if file.endswith(".json") else "binary", file, ["run", "--resume", "r2", *PLAIN],
                shows="all", run=True)
            form.cache = "cache2"
            self.formats.append(form)
