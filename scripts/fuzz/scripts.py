"""Lua scripts: statements made of the functions that the editor's declarations list, with arguments right and wrong; and real
scripts with words exchanged."""

import pathlib
import re

LITERALS = [
    "nil", "true", "false", "0", "1", "-1", "2", "3", "0.5", "1e308", "-1e308", "1/0", "-1/0", "0/0", "math.maxinteger", "math.mininteger", "2^53", "2^31", "1e-300",
    '""', '"x"', '"query"', '"a\\0b"', '"../x"', '"/dev/null"', '"/proc/self/mem"', '("x"):rep(5000)', '"\\xff\\xfe"', '"default"', '"lora"', '"rte"', '"builtin:tiny"',
    '"builtin:rte"', '"accuracy"', '"fp32"', "{}", "{ 1 }", "{ 2, 3 }", "{ -1 }", "{ 0 }", "{ 1e9, 1e9 }", '{ "query" }', '{ "" }', "{ {} }", "{ x = 1 }", "{ [1.5] = 2 }",
    "{ r = 2 }", "{ r = -1 }", "{ num_labels = 2 }", "{ num_labels = 0 }", "{ task = t }", "{ model = m, task = t, max_steps = 1 }", "{ model = m }", "{ seed = 2^60 }",
    "function() end", "function(...) return ... end", "function() error('from a function') end", "function() return 1 end", "print", "setmetatable({}, { __index = function() error('index') end })",
    "setmetatable({}, { __len = function() return -1 end })", "setmetatable({}, { __tostring = function() error({}) end })", "coroutine.create(function() end)", "m", "t", "x", "base", "ad", "_G",
]
START = """
local base = models.load("builtin:tiny")
local t = tasks.glue("rte", "builtin:rte", { max_train_samples = 8, max_eval_samples = 4 })
local m = base:classifier { task = t }
local x = tensor.ones { 3, 4 }
local ad = adapters.lora { r = 2, target_modules = { "query" } }
local tok = base.tokenizer
local opt = trainer.adamw { parameters = { tensor.ones { 2 }:requires_grad_() } }
local loop = trainer.loop { model = m, task = t, max_steps = 2 }
local res
"""
SUBJECTS = {"Model": "m", "Task": "t", "Tensor": "x", "BaseModel": "base", "Tokenizer": "tok", "Optimizer": "opt", "Trainer": "loop"}
# Calls that work, of which one option is given another value.
GOOD = [
    ("trainer.fit", ["model = m", "task = t", "max_steps = 1"]), ("trainer.evaluate", ["model = m", "task = t"]),
    ("trainer.loop", ["model = m", "task = t", "max_steps = 1"]), ("base:classifier", ["task = t"]), ("m:new_head", ["num_labels = 2"]),
    ("m:load_adapter", ['"adapter-lora"']), ("m:save_adapter", ['"out"']), ("m:save", ['"whole"']), ("m:predict", ['{ "the red cat" }']),
    ("tasks.table", ['train_file = "d.csv"', 'text_column = "text"', 'label_column = "label"']), ("tasks.masked_lm", ['train_file = "d.txt"']),
    ("report.table", ["{ a = 1 }"]), ("trainer.adamw", ["model = m"]), ("models.load", ['"m"']), ("tensor.save", ['"t.safetensors"', "{ x = x }"]),
    ("tensor.load", ['"tensors.safetensors"']),
]
FITTING = ["on_step = function(tr) %s end", "on_evaluate = function(tr, e) %s end", "loss = function(l, y) %s return l:mean() end", "compute_metrics = function(p, y) %s return { a = 1 } end"]
WORDS = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?(?:e-?\d+)?|\"[^\"\n]*\"|[^\sA-Za-z_\d]|\s+")


class Grammar:
    def __init__(self, root):
        self.functions, self.methods = [], {}
        for path in sorted(pathlib.Path(root, "lua/meta").glob("*.lua")):
            text = path.read_text()
            for owner, mark, name in re.findall(r"^function (\w+)([.:])(\w+)\(", text, re.M):
                if mark == ".":
                    self.functions.append(owner + "." + name)
                else:
                    self.methods.setdefault(owner, []).append(name)
            self.functions += re.findall(r"^function (\w+)\(", text, re.M)
        self.options = sorted(set(re.findall(r"^---@field (\w+)\??", "".join(p.read_text() for p in pathlib.Path(root, "lua/meta").glob("*.lua")), re.M)))
        # Short real scripts; their words are exchanged.
        self.real = [p.read_text() for p in sorted(pathlib.Path(root, "pipelines").glob("*.lua"))]

    def value(self, rng, depth=0):
        if depth < 2 and rng.random() < 0.3:
            fields = ["%s = %s" % (rng.choice(self.options), self.value(rng, depth + 1)) for _ in range(rng.choice([1, 1, 2, 4]))]
            return "{ " + ", ".join(fields) + " }"
        return rng.choice(LITERALS)

    def call(self, rng):
        if rng.random() < 0.35:
            return self.nearly_right(rng)
        arguments = ", ".join(self.value(rng) for _ in range(rng.choice([0, 1, 1, 2, 3])))
        if rng.random() < 0.5:
            owner = rng.choice(sorted(set(self.methods) & set(SUBJECTS)) + ["Model", "Model"])
            subject = SUBJECTS[owner]
            return "%s:%s(%s)" % (subject, rng.choice(self.methods[owner]), arguments)
        return "%s(%s)" % (rng.choice(self.functions), arguments)

    def nearly_right(self, rng):
        """A call that works but for what was put in, taken out or exchanged."""
        name, arguments = rng.choice(GOOD)
        arguments = list(arguments)
        is_record = " = " in arguments[0] and not arguments[0].startswith("{")
        for _ in range(rng.choice([0, 1, 1, 2])):
            if is_record and name.startswith("trainer.") and rng.random() < 0.3:
                arguments.append(rng.choice(FITTING) % self.call(rng).replace("%", "%%"))
            elif is_record:
                arguments.append("%s = %s" % (rng.choice(self.options), self.value(rng)))
            elif rng.random() < 0.5:
                arguments[rng.randrange(len(arguments))] = self.value(rng)
            else:
                arguments.append(self.value(rng))
        text = ", ".join(arguments)
        return "%s(%s)" % (name, "{ " + text + " }" if is_record else text)

    def statement(self, rng):
        call = self.call(rng)
        way = rng.randrange(8)
        if way == 0:
            return "v = " + call
        if way == 4:
            return "res = %s\nif type(res) == 'userdata' and res.model then m = res.model end" % self.nearly_right(rng)
        if way == 1:
            return 'stage(%s, function() return %s end)' % (rng.choice(['"s"', '"a/b"', '"é"', '""', "1"]), call)
        if way == 2:
            return "coroutine.wrap(function() %s end)()" % call
        if way == 3:
            return "m, x, t = %s, %s, %s" % tuple(rng.choice(["m", "x", "t"] + LITERALS) for _ in range(3))
        # Most fail; the script goes on, to reach the states behind.
        return "print(select('#', pcall(function() return %s end)))" % call

    def draw(self, rng):
        if rng.random() < 0.35:
            words = WORDS.findall(rng.choice(self.real))
            for _ in range(rng.choice([1, 1, 2, 5])):
                i, j = rng.randrange(len(words)), rng.randrange(len(words))
                way = rng.randrange(4)
                if way == 0:
                    words[i] = words[j]
                elif way == 1:
                    del words[i]
                elif way == 2:
                    words[i] = rng.choice(LITERALS)
                else:
                    words[i], words[j] = words[j], words[i]
            return "check", "".join(words)
        body = "\n".join(self.statement(rng) for _ in range(rng.randrange(1, 12)))
        return rng.choice(["check", "run"]), START + "local v\n" + body + "\n"
