"""A job that somebody cancelled has ended for Snakemake's executor, whoever that was."""

import asyncio
import logging
import sys

import snakemake_executor_plugin_slurm as plugin

from platemae.snakemake_states import PLUGIN, read_states_by_first_word

SACCT = "printf '4|CANCELLED by 1000\\n5|COMPLETED\\n6|PENDING\\n'"


def asked(command):
    return asyncio.run(plugin.query_job_status(command, logging.getLogger()))


def test_the_executor_is_told_the_first_word_of_a_state(monkeypatch):
    monkeypatch.setattr(plugin, "query_job_status", plugin.query_job_status)  # it is put back after the test
    read_states_by_first_word()
    changed = plugin.query_job_status
    read_states_by_first_word()
    assert plugin.query_job_status is changed
    states, seconds = asked(SACCT)
    assert states == {"4": "CANCELLED", "5": "COMPLETED", "6": "PENDING"}
    assert seconds > 0
    assert asked("false") == (None, None), "no answer stays none"


def test_without_the_executor_nothing_happens(monkeypatch):
    monkeypatch.delitem(sys.modules, PLUGIN)
    read_states_by_first_word()
    assert PLUGIN not in sys.modules
