#!/usr/bin/env python3
"""Load for `perigee serve`: many clients at once, mixed models, answers compared with `perigee predict`, and mangled requests.

Starts a server, asks it for some minutes from many connections, and prints what happened. Needs Python alone. Exit code 1 where a
request failed, an answer differs from `perigee predict`'s by more than 1e-5, a mangled request got a 5xx, or memory grew.

    scripts/serve-load.py runs/x/stages/a runs/x/stages/b --texts sentences.txt --clients 64 --minutes 10
    scripts/serve-load.py runs/x/stages/a --server "python3 scripts/predict_peer.py serve" --fuzz 0
"""

import argparse
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+", help="what 'perigee serve' takes; models that classify")
    p.add_argument("--perigee", default=".build/release/perigee")
    p.add_argument("--texts", help="file with a text in a line (default: made up)")
    p.add_argument("--clients", type=int, default=64)
    p.add_argument("--minutes", type=float, default=1)
    p.add_argument("--batch", type=int, default=1, help="texts of a request")
    p.add_argument("--fuzz", type=int, default=5000, help="mangled requests, after the load")
    p.add_argument("--precision", default="fp32")
    p.add_argument("--server", help="command of another server to ask, which is given the models, --port and --precision")
    return p.parse_args()


def made_up():
    draw = random.Random(1)
    words = "the a dog girl house small old bought sees pear on Monday in forest and not with red worker cat , . because".split()
    return [" ".join(draw.choice(words) for _ in range(draw.randint(4, 40))) for _ in range(2000)]


def predicted(o, model, texts):
    """Labels, probabilities in the file's digits, and texts per second without what loading takes."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "texts.jsonl")
        with open(path, "w") as f:
            f.writelines(json.dumps({"text": t}) + "\n" for t in texts)
        run = subprocess.run(
            [o.perigee, "predict", model, path, "--precision", o.precision], capture_output=True, text=True, check=True)
    rate = float(re.search(r"([\d.]+) rows/s", run.stderr).group(1))
    return [json.loads(line) for line in run.stdout.splitlines()], rate


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024


class Client(threading.Thread):
    def __init__(self, address, names, texts, o, end, seed):
        super().__init__(daemon=True)
        self.address, self.names, self.texts, self.o, self.end = address, names, texts, o, end
        self.draw = random.Random(seed)
        self.answers, self.errors, self.times = [], [], []

    def run(self):
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        while time.time() < self.end:
            name = self.draw.choice(self.names)
            chosen = [self.draw.randrange(len(self.texts)) for _ in range(self.o.batch)]
            start = time.time()
            try:
                body = json.dumps({"model": name, "inputs": [[self.texts[i]] for i in chosen]})
                connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                content = reply.read()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
                continue
            self.times.append(time.time() - start)
            if reply.status != 200:
                self.errors.append(f"{reply.status} {content[:200]}")
            else:
                self.answers.append((name, chosen, content))


def mangled(address, names, count):
    """Sends requests with random changes. Returns what was wrong with the answers."""
    draw = random.Random(7)
    seeds = [
        ("/predict", {"inputs": "a dog", "model": names[0], "truncate": True}), ("/predict", {"inputs": [["a"], ["b", "c"]], "model": names[-1]}),
        ("/classify", {"input": ["a", "b"], "model": names[0]}), ("/v1/embeddings", {"input": "a", "model": names[0], "encoding_format": "base64"}),
        ("/v1/decisions", {"input": "a", "questions": [{"type": "choice", "name": names[0]}]}),
        ("/v1/completions", {"prompt": "a", "max_tokens": 3, "n": 2, "logprobs": 1}),
    ]
    words = [b"null", b"-1", b"1e999", b"{}", b"[]", b'""', b"[" * 200, b"9" * 30, b'"\\ud800"', b"NaN", b"\x00", "é".encode(), b"\r\n\r\n"]
    statuses, wrong = {}, []
    for number in range(count):
        path, body = seeds[number % len(seeds)]
        body = bytearray(json.dumps(body).encode())
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(body) + 1)
            kind = draw.randrange(3)
            if kind == 0 and place < len(body):
                body[place] = draw.randrange(256)
            elif kind == 1:
                body[place:place] = draw.choice(words)
            else:
                del body[place:place + draw.randint(1, 20)]
        head = bytearray(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        if number % 4 == 0:
            head[draw.randrange(len(head))] = draw.randrange(256)
        with socket.create_connection(address, timeout=60) as s:
            s.sendall(bytes(head + body))
            s.shutdown(socket.SHUT_WR)
            reply = b""
            while part := s.recv(65536):
                reply += part
        status = int(reply[9:12]) if reply.startswith(b"HTTP/1.1 ") else 0
        statuses[status] = statuses.get(status, 0) + 1
        if not 200 <= status < 500:
            wrong.append((bytes(head + body), reply[:300]))
    return statuses, wrong


def main():
    o = options()
    texts = made_up()
    if o.texts:
        with open(o.texts) as f:
            texts = [line.rstrip("\n") for line in f if line.strip()][:5000]
    expected, rates = {}, []
    for model in o.models:
        rows, rate = predicted(o, model, texts)
        expected[os.path.basename(model.rstrip("/"))] = rows
        rates.append(rate)
    rate = len(rates) / sum(1 / r for r in rates)
    server = subprocess.Popen(
        [*(o.server.split() if o.server else [o.perigee, "serve"]), *o.models, "--port", "0", "--precision", o.precision], stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        address = re.match(r"http://([\d.]+):(\d+)", line)
        address = (address.group(1), int(address.group(2)))
        print(line.strip())
        names = list(expected)
        end = time.time() + 60 * o.minutes
        clients = [Client(address, names, texts, o, end, seed) for seed in range(o.clients)]
        start = time.time()
        for c in clients:
            c.start()
        memory = []
        while time.time() < end:
            time.sleep(min(5, max(0.1, end - time.time())))
            memory.append(resident(server.pid))
        for c in clients:
            c.join(timeout=180)
        seconds = time.time() - start
        errors = [e for c in clients for e in c.errors]
        worst, other, count = 0.0, 0, 0
        for c in clients:
            for name, chosen, content in c.answers:
                for place, scores in zip(chosen, json.loads(content)):
                    row = expected[name][place]
                    count += 1
                    other += scores[0]["label"] != row["prediction"]
                    for s in scores:
                        worst = max(worst, abs(s["score"] - row["probabilities"][s["label"]]))
        times = sorted(t for c in clients for t in c.times)
        print(f"{count} texts in {seconds:.1f} s, {count / seconds:.1f} texts/s; perigee predict: {rate:.1f}; {count / seconds / rate:.2f} of it")
        if times:
            print(f"a request took {1e3 * times[len(times) // 2]:.1f} ms at the median, {1e3 * times[int(0.99 * len(times))]:.1f} ms at 99 %")
        print(f"errors: {len(errors)} {errors[:3]}; other labels: {other}; largest difference of a probability: {worst:.1e} (files have 6 digits)")
        settled = memory[len(memory) // 4:] or memory
        print("memory in MB over time: " + " ".join(f"{m:.0f}" for m in memory[:: max(1, len(memory) // 12)]) + f", at the end {memory[-1]:.0f}")
        statuses, wrong = mangled(address, names, o.fuzz)
        print(f"mangled requests: {dict(sorted(statuses.items()))}; wrong: {wrong[:2]}")
        print(f"memory after them: {resident(server.pid):.1f} MB")
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=60)
        print(f"the server ended with {code}")
        # Allocators keep what a first batch of the longest texts took; what goes on growing is a leak.
        grows = memory[-1] > 1.1 * settled[0] + 8
        return 1 if errors or other or worst > 1e-5 or wrong or (code != 143 and not o.server) or grows or not count else 0
    finally:
        server.kill()


if __name__ == "__main__":
    sys.exit(main())
