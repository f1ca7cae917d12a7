"""`hostel.toml`: what is refused and how, what is in effect, and the example that documents it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runtime.daemon.config import SECTIONS, ConfigRefused, load, parse, settings
from runtime.daemon.config_text import example
from runtime.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigRefused) as raised:
        parse(text)
    told: list[str] = raised.value.details["problems"]
    return told


def test_an_empty_file_gives_the_defaults_everywhere() -> None:
    assert all(one.value == one.default for one in settings(parse("")))
    host = parse("").host
    assert host.journal is not None and host.metrics is not None and host.workers is not None


def test_the_example_is_fresh_and_gives_the_defaults() -> None:
    assert (ROOT / "docs/hostel.toml").read_text(encoding="utf-8") == example()
    assert load(ROOT / "docs/hostel.toml") == parse("")


def test_the_example_says_what_each_key_means() -> None:
    lines = example().splitlines()
    silent = [
        line for before, line in pairwise(lines)
        if (" = " in line or line.endswith(" =")) and not line.startswith("# [") and not before.startswith("# ")
    ]  # fmt: skip
    assert silent == []


def test_values_arrive_where_they_belong(tmp_path: Path) -> None:
    config = parse(
        f'[host]\nstate = "{tmp_path}"\ndrain_s = 2\n[limits]\ncpu_us = 70_000\n[developers]\ncalls_per_s = 9\n'
        "[retention]\nlogs_days = 3\n[metrics]\nprograms = 5\n[log]\nlevel = \"debug\"\n[http]\nport = 0\n"
        "[control]\nsocket_mode = 0o660\noperators = [1000]\n[workers]\ncount = 1\n[compile]\ncpu_s = 3\n"
    )  # fmt: skip
    assert config.service.state == tmp_path and config.host.drain_s == 2.0
    assert config.host.limits.cpu_us == 70_000 and config.host.developer_limits.calls_per_s == 9
    assert config.host.journal and config.host.journal.logs_days == 3
    assert config.host.workers and config.host.workers.count == 1
    assert config.control.operators == (1000,) and config.http.port == 0 and config.log.level == "debug"
    changed = {one.name for one in settings(config) if one.value != one.default}
    assert {"[host] state", "[limits] cpu_us", "[control] socket_mode", "[retention] logs_days"} <= changed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[limts]", "'limts': unknown section; did you mean limits?"),
        ("[limits]\ncpu_u = 3", "[limits] 'cpu_u': unknown key; did you mean cpu_us?"),
        ("[host]\nzzz = 3", "[host] 'zzz': unknown key; known: state"),
        ("[limits]\ncpu_us = 1", "[limits] limit cpu_us = 1: must be a whole number of µs from 1000 to 600000000"),
        ("[limits]\ncpu_us = true", "[limits] cpu_us = True: Expected `int`, got `bool`"),
        ('[http]\nport = "80"', "[http] port = '80': Expected `int`, got `str`"),
        ("[host]\nstate = 3", "[host] state = 3: Expected the path of a file or folder"),
        ("[host]\ndrain_s = -1", "[host] drain_s = -1.0: must be from 0 to 86400"),
        ("host = 3", "host is a section: write [host] on a line of its own"),
        ("[log]\nlevel = 'loud'", "[log] level = 'loud': must be debug, info, warning or error"),
        ("[retention]\nlogs_days = 0", "[retention] logs_days = 0: must be from 1 to 3650"),
        ("[http]\naddress = '0.0.0.0'", "[http] HTTP on 0.0.0.0 without TLS"),
        ("[control]\nlisten = '0.0.0.0:7'", "[control] listen: TCP needs tls_certificate"),
        ("[[control.tokens]]\nname='x'\nrole='operator'\nsha256='zz'", "[control] tokens: token 'x': sha256 must be"),
        ("[[control.tokens]]\nsecret='x'", "[control] tokens: each of them 'secret': unknown key"),
        ("[limits", "Expected"),
        ("[host]\n[host]", "Cannot declare"),
    ],
)
def test_what_is_wrong_is_said_with_the_key_and_the_cure(text: str, told: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(told) or told in problem


def test_every_problem_is_said_at_once() -> None:
    told = problems(
        "[limts]\n[limits]\ncpu_us = 1\nwall_ms = 0\nhost_calls = -1\n[http]\nport = 70_000\nbody_s = 0\n"
        "[host]\nslot = 1\n"
    )
    assert len(told) == 7
    assert sum("[limits]" in one for one in told) == 3 and sum("[http]" in one for one in told) == 2


def test_a_file_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hostel.toml"
    with pytest.raises(UsageError, match="cannot read"):
        load(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigRefused, match="not UTF-8"):
        load(file)


def test_no_section_is_without_a_value() -> None:
    config: Any = parse("")
    assert [kind for kinds in SECTIONS.values() for kind in kinds if type(config.of(kind)) is not kind] == []
