"""Writes regular_expressions.json: what Python's `re` answers to a table of patterns and texts.

    python3 Tests/PatternTests/Fixtures/make_fixtures.py     (Python 3.11)

One object for each pattern: the texts that `fullmatch` and `search` accept, as positions in the list of texts, of those that are
not longer than "longest"; or "error" where the pattern is refused. Patterns that `re` takes and the engine refuses on purpose are in a list of their own.
"""

import json
import pathlib
import random
import re
import warnings

warnings.simplefilter("ignore")

TEXTS = [
    "", "a", "b", "A", "ab", "aab", "aaab", "abc", "abcabc", "ba", "a\n", "\n", "a\nb", "a b", " a ", "a-b", "a_b", "a.b", "a]b", "{1}",
    "a{2}", "a{,}", "x{}", "1", "12", "007", "0", "-", "^", "$", "é", "É", "ß", "ẞ", "ſ", "s", "K", "k", "K", "١", "²", "Ⅷ", "中", "\u00a0",
    "\x1c", "\t", "\x08", "e\u0301", "😀", "İ", "i", "query", "value", "Query", "QUERY",
    "bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.11.attention.self.value", "bert.encoder.layer.3.output.dense",
    "bert.encoder.layer.3.intermediate.dense", "bert.encoder.layer.3.attention.output.dense", "bert.pooler.dense", "classifier", "lm_head",
    "roberta.encoder.layer.7.attention.self.key", "classifier.out_proj", "model.layers.5.mlp.down_proj", "model.layers.12.self_attn.q_proj",
]

# As found in adapter_config.json files and in PEFT's own documentation and tests.
WILD = [
    r".*\.(query|value)$", r".*\.(query|value)", r"^(?!.*lm_head).*", r"^(?!.*(lm_head|classifier)).*(query|key|value|dense)$",
    r".*attention\.self\.(query|key|value)", r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|down_proj))|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|down_proj)))",
    r".*layer\.(?:[0-5])\..*query", r".*layer\.\d+\.attention.*", r"bert\.encoder\.layer\.([0-9]|1[01])\..*", r"^.*\.layer\.(3|7)\..*dense$",
    r"model\.layers\.\d+\.(mlp|self_attn)\.(q|down)_proj", r".*(?<!attention\.output)\.dense", r".*(?<=output)\.dense", r"(?i).*QUERY", r".*\.(key|value|\d+\.output\.dense)",
    r"(.*\.)?(query)$", r"(.*\.)?(layer\.3\..*dense)$", r"(.*\.)?(^query)$", r"\S+", r"[a-z.]+\d+[a-z._]+", r"^(?!.*(?:vision|visual)).*layer.*$",
    r"(([a-z.0-9]+)+)+#", r"(([a-z.0-9]+)+)+", r"(a+)+$", r"^(?=.*layer)(?=.*query).*$", r"^(?=.*layer)(?!.*query).*$", r"(?s).*", r"(?m)^b$",
]

ATOMS = ["a", "b", "ab", ".", r"\.", "[ab]", "[^a]", "(a|b)", "(?:ab|a)", "(a*)", "(?:a|)", "()", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)",
         "^", "$", r"\b", r"\B", r"\A", r"\Z", "[a-c]", "[]a]", "[^]]", "[a-]", "[-a]", r"[\d\s]", r"[^\W]", "é", "(?i:A)", "(?i:É)", "(?P<n>a)"]
REPEATS = ["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,2}", "{,2}", "{1,}", "{,}", "{2,3}?", "{0,1}"]

EXACT = [
    "", "|", "a|", "|a", "()", "(|a)+", "(a?)*", "(a?)+b", "(?:)*", "(a*)*", "(a*)+", "(?:a*)*b", "(?:a|b)*?ab", "((a)|(b))*", "(?:|a)*b", "(?:a?){3}", "(?:a?){3}b",
    "{", "{}", "a{", "a{}", "a{1", "a{1,", "a{,", "a{ 1}", "{1}", "x{}", "a{,}", "a{2}{3}", "a**", "a*+", "*", "+a", "?", "(*)", "(?:*)", "^*", "$+", r"\b*", r"\b?", "(^)*", "(?=a)*", "(?=a)+a", "(?!a)*b", "a|*", "(", ")", "a)", "(a", "(?", "(?:", "(?P", "(?P<", "(?P<>a)", "(?P<1>a)", "(?P<a>a)(?P<a>b)", "(?P<a_1>a)b",
    "(?P=a)", r"(a)\1", r"\1", r"\8", r"\101", r"\141", r"\0", r"\07", r"\377", r"\400", r"\777", r"[\1]", r"[\141]", r"[\8]", r"[\400]", r"[\b]", r"[\B]", r"[\A]", r"\x61", r"\x6", r"\x", r"\u0061", r"\u61", r"\U00000061", r"\U00110000", r"[\x61-\x63]",
    r"\e", r"\q", r"\_", r"\-", r"\é", "\\", "[", "[a", "[]", "[^]", "[]]", "[^^]", "[a-b-c]", "[b-a]", r"[a-\d]", r"[\d-a]", r"[\d-]", "[a\\", "[[]", "[a&&b]", "[--a]", "[{}]", "[.]", "[$^]", "[\\]]",
    "(?i)a", "(?i)É", "(?i)ß", "(?i)ſ", "(?i)s", "(?i)k", "(?i)[a-z]", "(?i)[^a]", "(?i)[^A-Z]", "(?i)i", "(?i)[K-L]", "(?ai)k", "(?a)\\w", "(?a)\\W", "(?a)\\d", "(?a)\\s", "(?u)\\w", "(?au)a", "(?L)a", "a(?i)b", "(?i)(?m)^a$", "(?i)|A", "(?i-s:A)", "(?-i:a)", "(?i-:a)", "(?-:a)", "(?i-i:a)", "(?a-s:a)", "(?s-a:a)", "(?i", "(?i-", "(?-i)a", "(?z)", "(?i)*", "(?#c)a", "a(?#c)*", "(?#", "(?<a)", "(?<", "(?<=a|bc)", "(?<=a*)b", "(?<=ab|ba)c", "(?<=(?=a).)b", "(?<!^)a", "(?<=a{2})b", "(?<=a{1,2})b", "(?<=$)", "(?!)", "(?=)", "(?<=)a", "(?<!)a",
    r"\d+", r"\w+", r"\W+", r"\s+", r"[\w.]+", r"[^\s.]+", r".", r"..", r"(?s).", r"(?m)^", r"(?m)a$", r"a$", r"a\Z", r"^a", r"\Aa", r"\ba\b", r"\Ba\B", r"\B", r"\b", "(?a)\\bé", "\\bé", "a b", "a\nb", "😀", "[😀]", "e.", "中+",
    "(?=a(?!b))a", "(?!a(?=b))a.*", "(?=(?=a)a)ab", "(?<=(?<=a)b)c", "(?<!(?<!a)b)c", "(?=.*c)a", "(?=.*$)a", "(?:(?=a)a|b)*", "(?:(?!b).)*", "(?:(?<!a)b|a)+", "((?=(a+)))a*b", "(?=[ab]+c)(?!aab)\\w+", "a(?=b|$)",
    "(a|ab)(c|bcd)?(d*)", "(a+|b+)*c", "(x+x+)+y", "(.*)(.*)(.*)(.*)(.*)x", "(?:a{1,3}){2}", "(?:a{2,}){2}", "a{0}b", "(?:a|b){2,3}c?", "a{3,2}", "a{1,1}", "(a)?b", "(?:a(?:b(?:c)?)?)?",
]

# `re` takes these; the engine refuses them, and says so.
REFUSED = [r"(a)\1", "(?P<n>a)(?P=n)", "(a)(?(1)b|c)", "(?>a)b", "a*+", "a{1,2}+", "(?x)a b", "(?x:a)", r"\N{BULLET}", r"[\N{BULLET}]", "a{30000}", "(?:a{200}){200}", "(" * 150 + ")" * 150]


def generated(count, seed):
    draw = random.Random(seed)

    def piece(depth):
        if depth > 0 and draw.random() < 0.35:
            inner = "|".join(sequence(depth - 1) for _ in range(draw.randint(1, 3)))
            return draw.choice(["(%s)", "(?:%s)", "(?=%s)", "(?!%s)", "(?i:%s)", "(%s)"]) % inner
        return draw.choice(ATOMS)

    def sequence(depth):
        return "".join(piece(depth) + draw.choice(REPEATS) for _ in range(draw.randint(1, 3)))

    return ["|".join(sequence(2) for _ in range(draw.randint(1, 2))) for _ in range(count)]


def answer(pattern):
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, ValueError):
        return {"pattern": pattern, "error": True}
    # `re` itself would not end on long texts with some of the others.
    texts = list(enumerate(TEXTS))
    if pattern not in WILD or pattern.startswith("(([a-z"):
        texts = [(i, text) for i, text in texts if len(text) <= 10]
    full = [i for i, text in texts if compiled.fullmatch(text)]
    search = [i for i, text in texts if compiled.search(text)]
    return {"pattern": pattern, "longest": max(len(text) for _, text in texts), "fullmatch": full, "search": search}


def main():
    refused = set(REFUSED)
    rows = [answer(p) for p in dict.fromkeys(WILD + EXACT) if p not in refused]
    drawn = [answer(p) for p in dict.fromkeys(generated(1000, seed=11)) if p not in refused]
    rows += [row for row in drawn if "error" not in row] + [row for row in drawn if "error" in row][:60]
    folder = pathlib.Path(__file__).parent
    with open(folder / "regular_expressions.json", "w", encoding="utf-8") as file:
        file.write('{"texts": %s,\n "refused": %s,\n "answers": [\n' % (json.dumps(TEXTS), json.dumps(REFUSED)))
        file.write(",\n".join(json.dumps(row) for row in rows))
        file.write("\n]}\n")
    print(len(rows), "patterns,", sum("error" in row for row in rows), "of them errors")


main()
