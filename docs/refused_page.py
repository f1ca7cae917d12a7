"""docs/refused.md: every code that hostel says no with, why, and what to do.

What lives here: the page. Its sentences are refused_sentences.py's, but for the cures that the code declares (errors of
the host API, parts of the manifest); tests/style/test_refused.py holds them to what the code can say.
"""

from __future__ import annotations

from typing import Final

from docs.reference_page import link, table
from docs.refused_sentences import ENDINGS, SECTIONS, WHY
from host_api import schema
from host_api.errors import ErrorCode
from host_api.services import METHODS
from runtime.bundle.manifest import CURES
from runtime.errors import Ending


def refused_page() -> str:
    """The whole page."""
    parts = [_HEAD, _api_errors(), _endings()]
    for title, text, sentences in SECTIONS:
        rows = [(f"`{code}`", why, cure) for code, (why, cure) in sentences.items()]
        parts.append(f"## {title}\n\n{text}\n\n" if text else f"## {title}\n\n")
        parts.append(table("code | why | what to do", rows) + "\n")
    rows = [(f"`{path}`", cure) for path, cure in CURES.items()]
    parts.append("## manifest.json, part by part\n\n`details.path` of `manifest_invalid` is one of these.\n\n")
    parts.append(table("part | what to write", rows))
    return "".join(parts)


_HEAD: Final = """# Why was I refused?

Every code that hostel says no with, why, and what to do. An error is `code`, `message`, `retryable`, `retry_after_ms`
and `details`; the message of a refusal names the limit, its value and what was used. Look for the code; where it stands
twice, by who was refused: your program by the host, or you by the host or a command.

- Static first: `hostel check FILE` says before anything runs what will be refused.
- While it runs: `hostel dev` tells every refusal with its cure; `hostel logs` and `hostel receipts` what came of calls.
- Try it: `hostel dev --fault METHOD=error:CODE` has your program meet an error on purpose.

This page is made by `docs/generate.py` from the declarations.

"""


def _api_errors() -> str:
    of_all = {*schema.OF_EVERY_METHOD, *schema.WITH_CAPABILITY}

    def whose(code: ErrorCode) -> str:
        if code in of_all:
            return "every method" if code in schema.OF_EVERY_METHOD else "every method that needs a capability"
        named = [link(method.name, "reference.md") for method in METHODS if code in method.errors]
        return ", ".join(named) or "none yet"

    rows = [
        (f"`{code.code}`", WHY[code], code.cure, "yes" if code.retryable else "no", whose(code)) for code in ErrorCode
    ]
    return (
        "## Your program is answered with an error\n\nIt lives, and goes on. The order is that of precedence.\n\n"
        + table("code | why | what to do | try again | answered by", rows)
        + "\n"
    )


def _endings() -> str:
    rows = [(f"`{ending}`", *ENDINGS[ending]) for ending in Ending]
    return (
        "## Your program is ended\n\nIts sandbox is gone; the receipt tells what it used. What it had handed to the"
        " host is done and recorded, or not done at all.\n\n" + table("ending | why | what to do", rows) + "\n"
    )
