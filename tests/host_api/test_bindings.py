"""The typed bindings: every method and struct of the schema is in every language, and each is the file that is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from host_api import reference
from host_api.bindings import LANGUAGES, model

ROOT = Path(__file__).resolve().parents[2]
API = model.read(reference.load())


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_file_that_is_kept_is_the_one_that_is_written(lang: str) -> None:
    assert LANGUAGES[lang].write(API) == (ROOT / LANGUAGES[lang].path).read_text(encoding="utf-8")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_method_and_field_is_there(lang: str) -> None:
    text = LANGUAGES[lang].write(API)
    assert [method.name for method in API.methods if f'"{method.name}"' not in text] == []
    if lang == "javascript":
        return  # has no types: those of typescript stand beside it
    words = set(re.findall(r"\w+", text.replace("_", "").lower()))
    fields = {field.name.replace("_", "") for struct in API.structs for field in struct.fields}
    assert fields - words == set()


def test_the_model_has_each_struct_after_those_that_it_holds() -> None:
    seen: set[str] = set()
    for struct in API.structs:
        for field in struct.fields:
            for kind in (field.type, field.type.inner):
                assert kind is None or kind.struct == "" or kind.struct in seen, (struct.name, field.name)
        seen.add(struct.name)
