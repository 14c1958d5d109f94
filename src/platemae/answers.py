"""What commands say with ``--json``: one object, with the command's name and the number of its form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FORMS = {"cite": 1, "clean": 1, "doctor": 1, "explain": 1, "list-models": 1, "plan": 1, "score-map": 1, "verify": 1}
"""Command -> number of its form. It rises when a key goes or changes its meaning; keys may be added without.

docs/commands.md lists the keys; a test holds the list beside what the commands print.
"""


def as_json(command: str, content: Mapping[str, Any]) -> str:
    """Return the answer of a command as JSON text."""
    return json.dumps({"command": command, "form": FORMS[command], **content}, indent=1)
