"""Results of scenarios as JUnit XML, which continuous integration shows: a suite a scenario, a case a step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.scenarios.player import Played, Result

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(played: Sequence[Played]) -> bytes:
    """The file. A case that failed has its problem as message, and the rest as text."""
    suites = ElementTree.Element("testsuites")
    for one in played:
        suite = ElementTree.SubElement(
            suites, "testsuite", name=_clean(one.scenario.name), tests=str(len(one.results)),
            failures=str(int(one.failed is not None)), time=_time(one.results),
        )  # fmt: skip
        for result in one.results:
            _case(suite, one.scenario.name, result)
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ElementTree.Element, scenario: str, result: Result) -> None:
    from runtime.cli.test import explained

    name = _clean(f"{result.number}. {result.title}")
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(scenario), name=name, time=_time([result]))
    if result.failure is not None:
        lines = explained(result.failure)
        failure = ElementTree.SubElement(case, "failure", message=_clean(lines[0]))
        failure.text = _clean("\n".join(lines[1:]))


def _time(results: Sequence[Result]) -> str:
    return f"{sum(result.seconds for result in results):.3f}"


def _clean(text: str) -> str:
    """Without what XML cannot hold: programs' texts are hostile."""
    return _NOT_XML.sub("?", text)
