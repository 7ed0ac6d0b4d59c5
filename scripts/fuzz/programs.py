"""Runs the program and judges how it ended."""

import os
import re
import resource
import signal
import subprocess

LIMIT_SECONDS = 10
MAX_LINES = 3
MAX_CHARACTERS = 600
# Address space: what a damaged file asks for must be refused by the program, not taken from the machine.
ADDRESS_SPACE = 12 << 30

NUMBERS = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


class Ended:
    def __init__(self, code, output, error, late=False):
        self.code, self.output, self.error, self.late = code, output, error, late

    def fault(self, expected=None, codes=(0, 1)):
        """What is wrong with it, or None. `expected`: the output that exit code 0 must come with."""
        if self.late:
            return "hang: more than %d s" % LIMIT_SECONDS
        if self.code < 0:
            return "signal %d" % -self.code
        if self.code not in codes:
            return "exit code %d" % self.code
        if self.code != 0:
            # Notes of a run's progress may come before.
            start = self.error.find("perigee: error: ")
            # Behind the message, --traceback shows the calls.
            message = self.error[max(start, 0) :].split("\nstack traceback:", 1)[0].rstrip("\n")
            if start < 0:
                return "exit code %d without an error" % self.code
            if message.count("\n") + 1 > MAX_LINES:
                return "message of %d lines" % (message.count("\n") + 1)
            if len(message) > MAX_CHARACTERS:
                return "message of %d characters" % len(message)
        elif expected is not None and self.output != expected:
            return "exit code 0 with other numbers"
        return None


def _limits():
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(program, arguments, folder, environment, may_interrupt=False):
    """Runs it in a folder. What is still working after the limit is killed; with `may_interrupt` it is asked to stop first,
    as by Ctrl-C, and only what does not stop then is late."""
    process = subprocess.Popen(
        [program, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, preexec_fn=_limits, start_new_session=True)
    late = False
    try:
        output, error = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        late = not may_interrupt
        if may_interrupt:
            process.send_signal(signal.SIGINT)
            try:
                output, error = process.communicate(timeout=5)
                if process.returncode == 130:
                    return Ended(0, "", "")
            except subprocess.TimeoutExpired:
                late = True
        if late:
            os.killpg(process.pid, signal.SIGKILL)
            output, error = process.communicate()
    return Ended(process.returncode, output.decode("utf-8", "replace"), error.decode("utf-8", "replace"), late)
