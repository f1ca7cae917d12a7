"""For every test: what is inherited of whoever started them does not change what they find. And for `-n auto`: in what
order files are handed out, so that no core waits at the end."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import log

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell: the commands that tests end as Ctrl-C ends them would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # xdist would begin with the files of most tests, which are not the longest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests marked `slow` come first, each still in one piece."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command that was run in this process has set where its log goes, for all tests after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if log._formatter is not None:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name in log._SOURCES:
            logging.getLogger(name).setLevel(logging.NOTSET)
        log._formatter = None


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled modules are kept for the whole run: the same module is compiled once."""
    folder = tmp_path_factory.mktemp("artifacts")
    folder.chmod(0o700)
    return folder
