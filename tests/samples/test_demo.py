"""The demonstration says what it promises to say, and needs nobody to answer."""

from __future__ import annotations

import importlib.util
import io
import re

import pytest
from rich.console import Console

from tests.console import ROOT


@pytest.fixture
async def page() -> str:
    spec = importlib.util.spec_from_file_location("sample_programs_demo", ROOT / "sample_programs/demo.py")
    assert spec is not None and spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    printed = io.StringIO()
    await demo.main(Console(file=printed, width=110))
    return printed.getvalue()


def _row(page: str, begins: str) -> list[list[str]]:
    return [line.split() for line in page.splitlines() if line.strip().startswith(begins)]


async def test_it_shows_a_paid_order_a_no_and_three_that_mean_harm(page: str) -> None:
    assert re.search(r"Fuji apples +3 +6\.90 CNY +20\.70 CNY", page)
    assert re.search(r"Fresh milk +1 +15\.80 CNY +15\.80 CNY", page)
    assert re.search(r"payee +Fresh at home\n +amount +42\.50 CNY\n +for .*\n +alice: approved", page)
    assert re.search(r"Order [0-9a-f]{32}: paid, 42\.50 CNY", page)
    wallet, shop = _row(page, "alice's wallet"), _row(page, "the shop ")
    assert [row[2::2] for row in wallet] == [["200.00", "157.50"], ["157.50", "157.50"]]
    assert [row[2::2] for row in shop if row[-1] == "CNY"] == [["0.00", "42.50"], ["42.50", "42.50"]]
    assert "alice: declined" in page and "The program answers declined" in page

    assert "the call ends as cpu_exceeded" in page
    assert "4,095 MiB declared: not installed, module_refused" in page
    assert "the call ends as trapped" in page and "16,777,216 bytes, memory_at_limit True" in page
    assert "stolen False, the host said not_found" in page
    assert page.count("the shop meanwhile: completed") == 3


async def test_every_call_has_its_receipt(page: str) -> None:
    _, _, receipts = page.partition("What every call cost")
    endings = [
        line.split()[2] for line in receipts.splitlines() if re.match(r" (grocery|spin|memory_hog|forged_order) ", line)
    ]
    assert endings.count("completed") == 11
    assert sorted(set(endings)) == ["completed", "cpu_exceeded", "failed", "trapped"]
