#!/usr/bin/env python3
"""Runs the checks beside it, each in a process of its own that begins with the libraries loaded, which takes seconds.

Each line of the input is a JSON list: a file for the output, then the arguments: ["/tmp/output", "check_model.py", ...]. The answer is a
line with the exit code.
"""

import json
import os
import sys
import traceback

import check_adapter
import check_model

CHECKS = {"check_adapter.py": check_adapter, "check_model.py": check_model}


def run(output, arguments):
    """In the child: never returns."""
    code = 1
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.argv = arguments
        CHECKS[arguments[0]].main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    for line in sys.stdin:
        output, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            run(output, arguments)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
