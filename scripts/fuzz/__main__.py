"""See scripts/fuzz.sh, which has the options."""

import argparse
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

import commands
import damage
import programs
import scripts
from files import PLAIN, Corpus

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Fuzz:
    """Hands out cases to workers, each in a copy of the corpus of its own, and collects the failures."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.failures, self.counts = [], {}
        self.deadline = time.monotonic() + options.seconds if options.seconds else None

    def work(self, folder, cases):
        """One worker: takes cases until there are none, or no time."""
        while self.deadline is None or time.monotonic() < self.deadline:
            with self.lock:
                case = next(cases, None)
            if case is None:
                return
            kind, number = case
            rng = random.Random("%s %s %s" % (self.options.seed, kind, number))
            fault, story, files = getattr(self, kind)(rng, folder)
            with self.lock:
                self.counts[kind] = self.counts.get(kind, 0) + 1
                if fault:
                    self.failures.append((kind, number, fault, story))
                    print("WRONG  %s %d: %s | %s" % (kind, number, fault, story), flush=True)
                    if self.options.keep:
                        place = pathlib.Path(self.options.keep) / ("%s-%d" % (kind, number))
                        place.mkdir(parents=True, exist_ok=True)
                        for name, content in files.items():
                            (place / name).write_bytes(content)

    def run(self, folder, arguments, **named):
        cache = named.pop("cache", None)
        environment = self.corpus.environment(folder)
        if cache:
            environment["PERIGEE_CACHE"] = str(folder / cache)
        return programs.run(self.options.perigee, arguments, folder, environment, **named)

    def files(self, rng, folder):
        form = rng.choice(self.formats)
        original = (self.pristine / form.path).read_bytes()
        new, noticeable, way = damage.draw(rng, "binary" if not original else form.kind, original)
        path = folder / form.path
        path.write_bytes(new)
        cache = getattr(form, "cache", None)
        ended = self.run(folder, form.arguments, cache=cache)
        fault = ended.fault(self.expected[form.name, form.path] if form.can_notice(way, noticeable) else None)
        if form.is_run:
            for name in ("r", "cache", "r2", "cache2"):
                shutil.rmtree(folder / name, ignore_errors=True)
                if (self.pristine / name).exists():
                    shutil.copytree(self.pristine / name, folder / name)
        else:
            shutil.rmtree(folder / "cache", ignore_errors=True)
            shutil.copytree(self.pristine / "cache", folder / "cache")
            path.write_bytes(original)
        text = ended.error.strip()[:300].replace("\n", " / ")
        command = "perigee " + " ".join(form.arguments)
        return fault, "%s (%s): %s | %s" % (form.path, way, command, text), {
            path.name: new, "command": command.encode(), "stdout": ended.output.encode(), "stderr": ended.error.encode()}

    def commands(self, rng, folder):
        words = commands.draw(rng, self.known)
        ended = self.run(folder, words, may_interrupt=True)
        if "r" in words or any(w.startswith("--o") for w in words):
            shutil.rmtree(folder / "r", ignore_errors=True)
            shutil.copytree(self.pristine / "r", folder / "r")
        story = " ".join(w if 0 < len(w) < 60 else repr(w[:30]) for w in words)
        return ended.fault(), "perigee " + story + " | " + ended.error.strip()[:300].replace("\n", " / "), {
            "command": repr(words).encode(), "stdout": ended.output.encode(), "stderr": ended.error.encode()}

    def scripts(self, rng, folder):
        verb, text = self.grammar.draw(rng)
        (folder / "drawn.lua").write_text(text)
        shutil.rmtree(folder / "drawn", ignore_errors=True)
        out = ["--out", "drawn"] if verb == "run" else []
        ended = self.run(folder, [verb, "drawn.lua", *out, *PLAIN], may_interrupt=True)
        return ended.fault(), verb + " | " + ended.error.strip()[:300].replace("\n", " / "), {
            "drawn.lua": text.encode(), "stdout": ended.output.encode(), "stderr": ended.error.encode()}

    def all(self):
        options = self.options
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as work:
            self.pristine = pathlib.Path(work, "corpus")
            self.pristine.mkdir()
            self.corpus = Corpus(options.perigee, ROOT, self.pristine)
            self.formats = [f for f in self.corpus.make() if options.only in f.name]
            if not self.formats:
                raise SystemExit("fuzz: no format's name contains '%s'" % options.only)
            commands.prepare(self.pristine)
            self.known = commands.options(options.perigee)
            self.grammar = scripts.Grammar(ROOT)
            # What every example gives when it is not damaged; from copies, since a run may write.
            self.expected = {}
            reference = pathlib.Path(work, "reference")
            for form in self.formats:
                if form.is_run or not reference.exists():
                    shutil.rmtree(reference, ignore_errors=True)
                    shutil.copytree(self.pristine, reference)
                ended = self.run(reference, form.arguments, cache=getattr(form, "cache", None))
                if ended.code != 0:
                    raise SystemExit("fuzz: the undamaged %s does not work: %s" % (form.name, ended.error))
                self.expected[form.name, form.path] = ended.output
            cases = iter(
                [("commands", i) for i in range(options.commands)] + [("scripts", i) for i in range(options.scripts)]
                + [("files", i) for i in range(options.files)])
            workers = []
            for number in range(options.jobs):
                folder = pathlib.Path(work, "worker-%d" % number)
                shutil.copytree(self.pristine, folder)
                workers.append(threading.Thread(target=self.work, args=(folder, cases)))
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        done = ", ".join("%d %s" % (self.counts.get(kind, 0), kind) for kind in ("files", "commands", "scripts"))
        print("%s over %d formats, seed %s: %d failures" % (done, len(self.formats), options.seed, len(self.failures)))
        return 1 if self.failures else 0


def main():
    parser = argparse.ArgumentParser(prog="fuzz.sh", add_help=False)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--scripts", type=int, default=100)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--keep")
    parser.add_argument("--perigee", required=True)
    options = parser.parse_args()
    options.perigee = os.path.abspath(options.perigee)
    if options.keep:
        options.keep = os.path.abspath(options.keep)
    sys.exit(Fuzz(options).all())


main()
