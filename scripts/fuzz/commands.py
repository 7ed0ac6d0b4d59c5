"""Command lines: subcommands and options as --help lists them, with values right and wrong."""

import re
import subprocess

VALUES = [
    "", " ", "-", "--", ".", "..", "/", "x", "é", "\n", "a" * 4000, "0", "1", "2", "-1", "8", "1e400", "nan", "inf", "99999999999999999999",
    "0x10", "1.5", "true", "fp32", "bf16", "auto", "lora", "lroa", "full", "classifier", "query,value", "r=2", "r=", "=2", "r=x", "r=1e9", "r==", "rr=2",
    "n=3", "n=x", "steps=2", "target_modules=query", "query_", "m", "m/config.json", "adapter-lora", "r", "cache", "RTE", "rte", "d.csv", "model.lua",
    "train.lua", "task.lua", "missing.lua", "method.lua", "hello.lua", "builtin:tiny", "random:roberta-base", "./hello.lua", "run", "trainer.fit", "%s%n%d",
    "$HOME", "~", "*", "'", '"', "\\", "lua/meta", "made", "200%", "8G", "64K", "128M", "-5G",
]
METHOD = """
return adapters.define("tiny_one", {
  config = { r = { 2, min = 1, doc = "rank" } },
  build = function(layer, c) return { A = layer:kaiming_uniform("A", { c.r, layer.in_features }), B = tensor.zeros { layer.out_features, c.r } } end,
  delta = function(x, w, c) return x:linear(w.A):linear(w.B) end,
})
"""
HELLO = "local p = params { n = { 1, min = 0, max = 9, doc = 'a number' } }\nprint('n', p.n)\n"

# Words that start a command in the way it is meant, so that more than the options' reader is reached.
STARTS = [
    ["run", "hello.lua"], ["run", "model.lua", "--set", "m=m"], ["check", "train.lua"], ["check", "model.lua", "--set", "m=m"], ["run", "--resume", "r"],
    ["params", "m", "--adapter", "lora"], ["params", "m/config.json", "--adapter", "vera"], ["test-adapter", "method.lua"],
    ["bench", "step", "--model", "m", "--steps", "1", "--batch", "1", "--length", "8", "--sequences", "1"], ["stubs", "stubs-here"], ["help"], ["bench"], [],
]


def options(program):
    """The options of every subcommand, from its help."""

    def names(*words):
        text = subprocess.run([program, "help", *words], capture_output=True, text=True).stdout
        return text, re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", text)

    top, found = names()
    subcommands = re.findall(r"^  ([a-z][a-z-]+) ", top[top.find("SUBCOMMANDS") :], re.M)
    known = {"": found}
    for name in subcommands:
        text, found = names(name)
        for inner in re.findall(r"^  ([a-z][a-z-]+) ", text[text.find("SUBCOMMANDS") :], re.M) if "SUBCOMMANDS" in text else []:
            found += names(name, inner)[1]
        known[name] = sorted(set(found))
    return known


def prepare(folder):
    (folder / "method.lua").write_text(METHOD)
    (folder / "hello.lua").write_text(HELLO)


def draw(rng, known):
    words = list(rng.choice(STARTS))
    if rng.random() < 0.15:
        words = [rng.choice(list(known) + ["rnu", "chekc", "parms"])]
    names = known.get(words[0] if words else "", known[""]) or ["--help"]
    for _ in range(rng.choice([0, 1, 1, 2, 3, 6])):
        way = rng.randrange(6)
        if way <= 2:
            words += [rng.choice(names), rng.choice(VALUES)]
        elif way == 3:
            words.append(rng.choice(names) + "=" + rng.choice(VALUES))
        elif way == 4:
            name = rng.choice(names)
            at = rng.randrange(len(name))
            words.append(name[:at] + rng.choice(["", "-", "x", "é"]) + name[at + 1 :])
        else:
            words.append(rng.choice(VALUES))
    if rng.random() < 0.1:
        rng.shuffle(words)
    # --allow-io lets a script do anything, and the repository is not to be written to.
    return [w.replace("\0", "") for w in words if not w.startswith("--allow-io")]
