"""``platemae run`` and the processes below it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from platemae.contracts import write_text

BACKGROUND = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does before it starts something in the background
from platemae import run
from platemae.holding.hold import hold
from platemae.layout import Results
with hold(Results(Path(sys.argv[1]))) as held:
    sys.exit(run._snakemake([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]), held))
"""
SNAKEMAKE = """
import sys, time
from pathlib import Path
try:
    Path("started").touch()
    time.sleep(300)
except KeyboardInterrupt:
    sys.exit(7)
"""


def test_a_run_in_the_background_is_stopped_by_a_signal(tmp_path: Path) -> None:
    """Snakemake gets SIGINT, which a background shell lets its children ignore."""
    write_text(tmp_path / ".snakemake/note", "")
    run = subprocess.Popen([sys.executable, "-c", BACKGROUND, str(tmp_path), SNAKEMAKE])
    try:
        while not (tmp_path / "started").exists():
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        assert run.wait(timeout=60) == 7
    finally:
        run.kill()
