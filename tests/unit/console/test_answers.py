"""The JSON answers: docs/commands.md lists their keys, and they are what the commands print."""

import json
import re

import pytest

from platemae.answers import FORMS, as_json
from platemae.cli import main
from platemae.ledger import Accepted
from platemae.standing.explain import Cause, Explanation
from platemae.standing.jobs import Job
from tests.unit.preflight.test_doctor import project as screen  # noqa: F401


def documented(project):
    """Return command -> key -> keys of its objects, as the page has them."""
    found = {}
    section = (project / "docs/commands.md").read_text().split("## Answers as JSON")[1].split("\n## ")[0]
    for line in section.splitlines():
        row = re.fullmatch(r"\| `([a-z-]+)`[^|]* \| (.+) \|", line)
        if row:
            keys = re.findall(r"`(\w+)`(?: \((`[^)]*)\))?", re.sub(r"\((?!`)[^)]*\)", "", row[2]))
            found[row[1]] = {key: set(re.findall(r"`(\w+)`", inner)) for key, inner in keys}
    return found


def check(answer, keys):
    """Check that the keys are all documented, and those of their objects there."""
    assert set(answer) - {"command", "form"} == set(keys), answer["command"]
    for key, inner in keys.items():
        things = answer[key] if isinstance(answer[key], list) else [answer[key]]
        for thing in things:
            assert inner <= (set(thing) if isinstance(thing, dict) else set()), (key, thing)


@pytest.fixture
def pages(request):
    from tests.conftest import PROJECT

    return documented(PROJECT)


def test_every_command_with_json_is_documented(pages):
    assert set(pages) == set(FORMS)


def said(arguments, capsys):
    main(arguments)
    answer = json.loads(capsys.readouterr().out)
    assert (answer["command"], answer["form"]) == (arguments[0], FORMS[arguments[0]])
    return answer


def test_doctor_and_plan(screen, pages, capsys):  # noqa: F811
    config = screen.read_text()
    screen.write_text(config + "corrections: [{name: tvn, kind: tvn}]\n" if "corrections" not in config else config)
    (screen.parent / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\tx\tstrange\n")
    for command in ("doctor", "plan"):
        if command == "plan":
            (screen.parent / "layout.tsv").write_text(
                "well\tperturbation\tcontrol_type\nA01\t\tnegcon\nA02\tg1\ttreatment\nB01\tg2\ttreatment\n"
            )
        answer = said([command, "--configfile", str(screen), "--json"], capsys)
        assert answer["problems"] or command == "plan"
        check(answer, pages[command])


def test_list_models(pages, capsys):
    check(said(["list-models", "--json"], capsys), pages["list-models"])


def test_verify(tmp_path, pages, capsys):
    (tmp_path / "qc").mkdir()
    (tmp_path / "qc/P1.manifest.json").write_text("{}")
    answer = said(["verify", "--results", str(tmp_path), "--json"], capsys)
    assert len(answer["findings"]) == 1
    check(answer, pages["verify"])


def test_explain(pages):
    job = Job("score_map", {"model": "mae"}, (), (), "")
    kept = Accepted(**dict.fromkeys(Accepted.__dataclass_fields__, "x"))
    found = Explanation([job], [Cause("score_map", (job,), ("why",), {"render_report": 1})], [], [kept])
    check(json.loads(as_json("explain", found.to_dict())), pages["explain"])
