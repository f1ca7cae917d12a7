"""URLs: one reading, and every trick with them refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.http import url
from host_api.http.url import Origin, Url, UrlRefused

GOOD = {
    "https://shop.example": (Origin("shop.example", 443), "/"),
    "https://shop.example/": (Origin("shop.example", 443), "/"),
    "HTTPS://Shop.EXAMPLE/A?b=C": (Origin("shop.example", 443), "/A?b=C"),
    "https://shop.example.": (Origin("shop.example", 443), "/"),
    "https://shop.example:443/x": (Origin("shop.example", 443), "/x"),
    "https://shop.example:8443/x": (Origin("shop.example", 8443), "/x"),
    "https://shop.example?q=1": (Origin("shop.example", 443), "/?q=1"),
    "https://shop.example#part": (Origin("shop.example", 443), "/"),
    "https://shop.example/a#b?c\r\n": (Origin("shop.example", 443), "/a"),
    "https://a_b.shop.example/%e4%bd%a0?x[]=1&y=a+b": (Origin("a_b.shop.example", 443), "/%e4%bd%a0?x[]=1&y=a+b"),
    "https://xn--fsqu00a.xn--fiqs8s/": (Origin("xn--fsqu00a.xn--fiqs8s", 443), "/"),
    "https://shop.example/@other.example": (Origin("shop.example", 443), "/@other.example"),
    "https://shop.example?@other.example/": (Origin("shop.example", 443), "/?@other.example/"),
    "https://127.0.0.1.shop.example/": (Origin("127.0.0.1.shop.example", 443), "/"),
}
TRICKS = [
    "", "https://", "https:///x", "http://shop.example/", "ftp://shop.example/", "file:///etc/passwd",
    "//shop.example/", "https:/shop.example/", "https:shop.example", "https:\\\\shop.example/", " https://shop.example",
    "https://shop.example ", "https://shop.example\n", "https://shop.example\t/", "https://shop.example/a b",
    "https://shop.example/\r\nhost: x", "https://shop.example/\x00", "https://shop.example/\x7f",
    "https://user@shop.example/", "https://user:pass@shop.example/", "https://shop.example@other.example/",
    "https://shop.example\\@other.example/", "https://shop.example\\.other.example/", "https://shop.example/\\x",
    "https://shop%2eexample/", "https://shop.example%00.other.example/", "https://%73hop.example/",
    "https://shop.example/%", "https://shop.example/%zz", "https://shop.example/%0", "https://shop.example/ü",
    "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/",
    "https://0177.0.0.1/", "https://017700000001/", "https://127.0.0.1./", "https://a.1/", "https://a.0x1/",
    "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[::1]:443/", "https://::1/",
    "https://localhost/", "https://localhost./", "https://intranet/", "https://.shop.example/",
    "https://shop..example/", "https://shop.example../", "https://./", "https://../", "https://-a.example/",
    "https://a-.example/", "https://*.shop.example/", "https://shop.exam_ple/", "https://shop.example,other.example/",
    "https://shop.example:/", "https://shop.example:0/", "https://shop.example:65536/", "https://shop.example:0443/",
    "https://shop.example:+443/", "https://shop.example: 443/", "https://shop.example:443:443/",
    "https://shop.example:４４３/", "https://shop.example:x/", "https://ｓhop.example/", "https://shop。example/",
    "https://ⓢhop.example/", "https://bücher.example/", "https://１２７.0.0.1/", "https://ſhop.example/",
    "https://shop.ex­ample/", "https://" + "a" * 64 + ".example/", "https://" + "a." * 124 + "example/",
    "https://shop.example/" + "a" * 8_192,
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_good_url_has_one_reading(text: str) -> None:
    assert url.parse(text) == GOOD[text]
    assert url.parse(str(url.parse(text))) == url.parse(text)


@pytest.mark.parametrize("text", TRICKS)
def test_a_trick_is_refused(text: str) -> None:
    with pytest.raises(UrlRefused):
        url.parse(text)


def test_lengths_at_their_limits() -> None:
    assert url.parse("https://shop.example/" + "a" * (8_192 - 21))
    assert url.parse(f"https://{'a' * 63}.example/")
    assert url.parse("https://" + "a." * 123 + "example/")  # 253 characters
    assert url.parse("https://shop.example:65535/").origin.port == 65_535


_HOSTILE = st.text(st.sampled_from("ahps:/.@\\#?%[]0x127 \t\n\r\x00ü。-_é"), max_size=40)


@given(_HOSTILE | _HOSTILE.map(lambda text: "https://" + text) | st.text(max_size=60))
def test_what_is_taken_is_read_by_others_in_the_same_way(text: str) -> None:
    try:
        found = url.parse(text)
    except UrlRefused:
        return
    other = urlsplit(text.partition("#")[0])
    assert (other.hostname or "").removesuffix(".") == found.origin.host
    assert (other.port or 443, other.username, other.password) == (found.origin.port, None, None)
    assert found.target.isascii() and found.target.isprintable() and " " not in found.target


BASE = Url(Origin("shop.example", 8443), "/a/b?c=d")


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("/x", "https://shop.example:8443/x"),
        ("x?y", "https://shop.example:8443/a/x?y"),
        ("?y", "https://shop.example:8443/a/b?y"),
        ("", "https://shop.example:8443/a/b?c=d"),
        ("../../../x", "https://shop.example:8443/x"),
        ("//other.example/x", "https://other.example/x"),
        ("https://other.example#x", "https://other.example/"),
    ],
)
def test_a_location_is_joined(reference: str, found: str) -> None:
    assert str(url.join(BASE, reference)) == found


@pytest.mark.parametrize(
    "reference",
    [
        "http://shop.example/", "//127.0.0.1/", "//user@shop.example/", "javascript:alert(1)", "file:///etc/passwd",
        "https://[::1]/", "https://[", "//[::1", "/ü", "/a b", "/\x00", "\\\\other.example", "/\\other.example",
        "//other.example\\@shop.example", "data:,x", "//2130706433/", "https://shop.example:99999/",
    ],
)  # fmt: skip
def test_a_location_that_is_no_https_url_is_refused(reference: str) -> None:
    with pytest.raises(UrlRefused):
        url.join(BASE, reference)


@given(_HOSTILE | st.text(max_size=60))
def test_any_location_is_joined_or_refused(reference: str) -> None:
    try:
        found = url.join(BASE, reference)
    except UrlRefused:
        return
    assert url.parse(str(found)) == found


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("shop.example", Origin("shop.example", 443)),
        ("Shop.Example.", Origin("shop.example", 443)),
        ("shop.example:443", Origin("shop.example", 443)),
        ("shop.example:8443", Origin("shop.example", 8443)),
    ],
)
def test_a_grant_names_a_host_and_a_port(entry: str, origin: Origin) -> None:
    assert url.allowed(origin, ["third.example", entry])
    assert not url.allowed(Origin(f"www.{origin.host}", origin.port), [entry])
    assert not url.allowed(Origin(origin.host, origin.port + 1), [entry])


@pytest.mark.parametrize("entry", ["*", "*.example", "", "https://shop.example", "shop.example/", "127.0.0.1", "shop"])
def test_what_is_no_host_in_a_grant_allows_nothing(entry: str) -> None:
    assert not url.allowed(Origin("shop.example", 443), [entry])
