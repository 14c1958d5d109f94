"""Dry runs in forks of one process that has Snakemake imported already: importing takes half the time of one.

As a script this is that process: it reads a call a line, forks, and answers with exit code and output. Our own package
is imported in the fork alone, from the copy that the call names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any


def call(arguments: list[str], folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    """Call ``platemae run`` with arguments in a folder, with the package in the folder ``source``."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([arguments, str(folder), str(source)]) + "\n")
    server.stdin.flush()
    code, output = json.loads(server.stdout.readline())
    return subprocess.CompletedProcess(arguments, code, output, "")


@cache
def _server() -> subprocess.Popen[str]:
    """Start the process; it ends with this one, as its input then does."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": path}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, __file__], env=environment, **pipes)


def _serve() -> None:
    from snakemake import cli

    assert not any(name.partition(".")[0] == "platemae" for name in sys.modules)
    for line in sys.stdin:
        arguments, folder, source = json.loads(line)
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if child == 0:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                os._exit(_run(cli, arguments, folder, source))
            _, status = os.waitpid(child, 0)
            output.seek(0)
            answer = [os.waitstatus_to_exitcode(status), output.read().decode()]
        print(json.dumps(answer), flush=True)


def _run(cli: Any, arguments: list[str], folder: str, source: str) -> int:
    """Do in this process what ``platemae run`` does in two."""
    os.chdir(folder)
    sys.path.insert(0, source)
    from platemae import run
    from platemae.cli import main

    run._snakemake = lambda command, project, held=None: _code_of(cli.main, command[3:])
    try:
        return _code_of(main, ["run", *arguments])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _code_of(main: Any, arguments: list[str]) -> int:
    """Return what a main function returns or exits with."""
    try:
        return int(main(arguments) or 0)
    except SystemExit as end:
        return int(end.code or 0)


if __name__ == "__main__":
    _serve()
