"""The command line as people meet it: groups, examples, colours, errors, exit codes, completion."""

import argparse
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys

import pytest

from platemae.cli import main, whole_parser
from platemae.console.catalogue import GROUPS
from platemae.layout import MANIFESTS

COMMANDS = [command for group in GROUPS.values() for command in group]
PLATEMAE = [sys.executable, "-m", "platemae.cli"]


def ends(arguments, capsys):
    """Return exit code and what was said."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code, capsys.readouterr()


def test_help_shows_every_command_once_in_its_group(capsys):
    code, said = ends(["--help"], capsys)
    assert code == 0
    shown = re.findall(r"^  ([a-z][a-z-]+)(?= {2,}|$)", said.out, re.M)
    assert shown == [command.name for command in COMMANDS]
    assert {name.replace("-", "_") for name in shown} >= set(MANIFESTS)
    for title in GROUPS:
        assert f"\n{title}:\n" in said.out
    for number in ("0", "1", "2", "75", "130"):
        assert re.search(rf"^  {number} +\w", said.out, re.M)


def test_platemae_alone_says_what_there_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["platemae"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert "synthesize-screen" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_example_parses_and_stands_in_the_help(command, capsys):
    words = shlex.split(command.example.replace("source <(", "").replace(")", ""))
    assert words[:2] == ["platemae", command.name]
    assert whole_parser().parse_args(words[1:]).command
    code, said = ends([command.name, "--help"], capsys)
    assert code == 0
    assert f"example:\n  {command.example}\n" in said.out
    assert len(command.help) < 100
    assert "\n" not in command.help


@pytest.mark.parametrize(
    ("typed", "meant"), [("doctr", "doctor"), ("explian", "explain"), ("train_model", "train-model")]
)
def test_a_mistyped_command_names_the_nearest(typed, meant, capsys):
    code, said = ends([typed], capsys)
    assert code == 2
    assert said.out == ""
    what, where, remedy = said.err.splitlines()
    assert what == f"error:  there is no command {typed}"
    assert where == "where:  platemae"
    assert f"did you mean `platemae {meant}`?" in remedy


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["xyzzy"], "there is no command xyzzy"),
        (["plan", "--nodes", "0"], "--nodes: must be at least 1"),
        (["doctor", "--colour"], "unrecognized arguments: --colour"),
        (["qc-plate"], "required: --plate"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    ],
)
def test_wrong_use_is_three_lines_and_exit_code_2(arguments, says, capsys):
    code, said = ends(arguments, capsys)
    assert code == 2
    lines = said.err.splitlines()
    assert [line[:8] for line in lines] == ["error:  ", "where:  ", "remedy: "]
    assert says in lines[0]
    assert "--help`" in lines[2]


def test_a_traceback_only_with_debug(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["doctor", "--configfile", "none.yaml"]
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    with pytest.raises(Exception, match="none"):
        main([*arguments, "--debug"])


def on_a_terminal(**environment):
    """Return what `platemae --help` writes to a terminal."""
    leader, follower = pty.openpty()
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "CI", "PYTEST_CURRENT_TEST")}
    subprocess.run(
        [*PLATEMAE, "--help"], stdout=follower, stderr=follower, env=kept | {"TERM": "xterm-256color"} | environment
    )
    os.close(follower)
    said = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        said += part
        if not part:
            break
    os.close(leader)
    return said.decode()


def test_colours_on_a_terminal_alone_and_not_with_no_color():
    coloured = on_a_terminal()
    assert "\x1b[" in coloured
    assert "\x1b[" not in on_a_terminal(NO_COLOR="1")
    piped = subprocess.run(
        [*PLATEMAE, "--help"], capture_output=True, text=True, check=True, env={**os.environ, "TERM": "xterm"}
    )
    assert "\x1b[" not in piped.stdout
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured).split() == piped.stdout.split()


COMPLETE = r"""
source "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
function=$(complete -p platemae | sed 's/.*-F \([^ ]*\).*/\1/')
$function platemae "${@: -1}" "${@: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def completed(script, folder, *words):
    """Return what bash offers for the last of the words."""
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", "platemae", *words],
        capture_output=True, text=True, check=True, cwd=folder, env={**os.environ, "SCRIPT": str(script)},
    )  # fmt: skip
    return set(done.stdout.split())


def test_bash_completes_commands_options_choices_and_files(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    assert completed(script, tmp_path, "ex") == {"explain", "export-model"}
    assert completed(script, tmp_path, "plan", "--quota") == {"--quota-gb", "--quota-files"}
    assert completed(script, tmp_path, "completion", "") >= {"bash", "zsh", "fish"}
    (tmp_path / "mine.yaml").touch()
    assert completed(script, tmp_path, "doctor", "--configfile", "mi") == {"mine.yaml"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command.name in script for command in COMMANDS)
    assert "\x1b" not in script


def test_the_parser_of_a_command_is_ours():
    """argparse makes them by the class of the whole parser; a plain one would print its own errors."""
    whole = whole_parser()
    found = [action.choices for action in whole._actions if isinstance(action, argparse._SubParsersAction)]
    assert {type(parser).__name__ for parser in found[0].values()} == {"CommandParser"}


def cfg_of(text):
    """Return what the option --cfg of a stage holds."""
    return whole_parser().parse_args(["qc-plate", "--plate", "P1", "--cfg", text]).cfg


def test_what_a_job_reads_comes_as_an_argument_a_file_or_standard_input(tmp_path, monkeypatch):
    given = {"qc": {"gate": "it's {warn}"}, "plates": ["P1"] * 50_000}
    text = json.dumps(given)
    (tmp_path / "cfg.json").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text + "\n"))
    assert cfg_of(text) == cfg_of(f"@{tmp_path}/cfg.json") == cfg_of("-") == given


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-", "standard input is no JSON"),
        ("@nowhere.json", "nowhere.json is no JSON: [Errno 2]"),
        ("{", "the argument is no JSON"),
        ("[1]", "the argument is no JSON object"),
    ],
)
def test_what_is_no_json_object_is_named_with_its_place(text, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(SystemExit) as stop:
        cfg_of(text)
    assert stop.value.code == 2
    assert f"error:  argument --cfg: {said}" in capsys.readouterr().err
