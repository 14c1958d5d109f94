"""Every block of the documentation is known: executed by a test, validated, or marked why not."""

import re
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from platemae.config.sections import Config
from tests.docs.blocks import CHECKED, all_blocks
from tests.docs.test_commands import EXECUTED

EXTENDED = "docs/extend/"
"""Pages that tests/docs/test_extend.py follows; their YAML names kinds that these pages add."""


def test_the_fences_of_every_page_are_pairs(project):
    """A block that the others' pattern misses would be checked by nobody."""
    for block in all_blocks(project):
        assert "```" not in block.text, str(block)
    opened = sum(
        len(re.findall(r"^ *```", page.read_text(), re.M)) for page in {project / b.page for b in all_blocks(project)}
    )
    assert opened == 2 * len(all_blocks(project))


def test_every_command_block_is_executed_or_says_why_not(project):
    lost = []
    for block in all_blocks(project):
        if block.language not in CHECKED or block.language == "yaml":
            continue
        known = block.why_not_run or block.is_edit or block.page in EXECUTED
        if not known:
            lost.append(f"{block}: neither executed (tests/docs/test_commands.py) nor marked <!-- not run: why -->")
    assert lost == []


def test_a_reason_is_a_sentence_and_only_of_what_would_be_run(project):
    for block in all_blocks(project):
        if block.said.startswith("not run"):
            assert len(block.why_not_run.split()) >= 3, str(block)
            assert block.language in CHECKED, str(block)


def test_every_yaml_block_is_a_valid_piece_of_configuration(project):
    blocks = [b for b in all_blocks(project) if b.language == "yaml" and not b.why_not_run]
    assert len(blocks) > 15
    wrong = []
    for block in blocks:
        if not block.page.startswith(EXTENDED):
            wrong += [f"{block}: {problem}" for problem in problems_of(yaml.safe_load(block.text))]
    assert wrong == []


def problems_of(piece: Any) -> list[str]:
    """Return why sections of a configuration are not valid, each alone: a page shows but some of them."""
    if not isinstance(piece, dict):
        return ["no mapping of sections"]
    found = [f"there is no section {key}" for key in piece if key not in Config.model_fields]
    for key in set(piece) & set(Config.model_fields):
        field = Config.model_fields[key]
        try:
            TypeAdapter(field.annotation).validate_python(piece[key])
        except ValueError as error:
            found.append(f"{key}: {error}")
    return found


@pytest.mark.parametrize(
    ("text", "says"),
    [("trian: {steps: 1}", "no section trian"), ("train: {stepps: 1}", "stepps"), ("models: [{kind: mae}]", "name")],
)
def test_a_wrong_piece_is_found(text, says):
    assert says in " ".join(problems_of(yaml.safe_load(text)))
