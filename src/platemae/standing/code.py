"""The modules behind each code digest, noted when a run starts, so that a later change of code can be named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from platemae.config.plates import Plate
from platemae.config.sections import Config
from platemae.config.slices import stage_entries
from platemae.contracts import write_text
from platemae.fingerprint import PACKAGE, code_digest, module_digests
from platemae.layout import MANIFESTS, Results


def note_code(config: Config, plates: Sequence[Plate], results: Results) -> None:
    """Write down the modules of every stage as they are; what is noted already is left alone."""
    for stage, entries in _kinds(config, plates):
        path = results.code_record(code_digest(stage, entries))
        if not path.is_file():
            modules = {name: digest[:16] for name, digest in module_digests(stage, entries).items()}
            write_text(path, json.dumps({"stage": stage, "modules": modules}, indent=1) + "\n")


def _kinds(config: Config, plates: Sequence[Plate]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each stage with each set of registry entries that its jobs use."""
    named = {"ingest_plate": ("plate", [p.plate for p in plates])}
    named |= {stage: ("model", [m.name for m in config.rows]) for stage in ("train_model", "embed_plate")}
    named |= {s: ("correction", [c.name for c in config.corrections]) for s in ("fit_correction", "correct_plate")}
    for stage in MANIFESTS:
        wildcard, names = named.get(stage, ("", [""]))
        found = {tuple(stage_entries(config, plates, stage, **({wildcard: n} if n else {}))) for n in names}
        yield from ((stage, entries) for entries in sorted(found))


def code_change(results: Results, before: str, now: dict[str, str]) -> str:
    """Return in words which modules changed, of a stage that now has the modules ``now``."""
    try:
        noted = json.loads(results.code_record(before).read_text())["modules"]
    except (OSError, ValueError, KeyError):
        return "its code changed (which modules is not on record)"
    then, here = dict(noted), {name: digest[:16] for name, digest in now.items()}
    words = {
        "changed": [name for name in here if name in then and then[name] != here[name]],
        "is new": [name for name in here if name not in then],
        "is gone": [name for name in then if name not in here],
    }
    return "code: " + ", ".join(f"{_file(name)} {word}" for word, names in words.items() for name in names)


def _file(module: str) -> str:
    path = "/".join(module.split(".")[1:])
    return f"{path}/__init__.py".lstrip("/") if (PACKAGE / path).is_dir() else f"{path}.py"
