"""The tiny project of tests/workflow, for commands and worked examples of the documentation."""

from tests.workflow.conftest import fresh_project, tiny_screen

__all__ = ["fresh_project", "tiny_screen"]
