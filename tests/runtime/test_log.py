"""The daemon's own log: one JSON object a line, or a line for people; and nothing that a variable held."""

from __future__ import annotations

import io
import json
import logging

import pytest

from runtime.log import logger, set_level, write_to


def test_a_line_is_one_json_object_with_the_same_fields_first() -> None:
    stream = io.StringIO()
    write_to(stream, level="info", as_json=True)
    logger("broker").error("service failed", trace_id="t" * 32, incident="abc", method="x\ny", value=b"\xff")
    logging.getLogger("host_api.store").warning("the disk %s", "is full")
    logging.getLogger("trio").info("of another library, and quiet")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert list(first)[:6] == ["timestamp", "level", "logger", "event", "incident", "trace_id"]
    assert (first["level"], first["logger"], first["method"]) == ("error", "hostel.broker", "x\ny")
    assert (second["event"], second["logger"]) == ("the disk is full", "host_api.store")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_fault_has_its_traceback_and_no_values_of_variables(as_json: bool) -> None:
    stream = io.StringIO()
    write_to(stream, level="info", as_json=as_json)
    secret = "planted" + "-secret"
    try:
        raise RuntimeError(f"of {len(secret)} characters")
    except RuntimeError as error:
        logger("cli").error("command failed", incident="abc", exc_info=error)
    told = stream.getvalue()
    assert "Traceback" in told and "of 14 characters" in told and "planted-secret" not in told
    assert not as_json or json.loads(told)["incident"] == "abc"


def test_the_level_can_change_while_it_runs() -> None:
    stream = io.StringIO()
    write_to(stream, level="warning", as_json=True)
    logger("daemon").info("too quiet")
    set_level("debug")
    logger("daemon").debug("heard")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["heard"]


def test_configured_again_it_is_written_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    write_to(first, level="info", as_json=True)
    write_to(second, level="info", as_json=True)
    logger("daemon").info("once")
    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)
