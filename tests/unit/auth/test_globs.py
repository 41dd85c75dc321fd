import time

import pytest

from rookery.auth.globs import Glob, is_glob

LONG = 65_535


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a*", ["a", "ab", "a*"]),
        ("*", ["", "anything"]),
        ("*z", ["z", "az", "zz"]),
        ("a*z", ["az", "a-z", "azz"]),
        ("a?c", ["abc", "a?c"]),
        ("?", ["x"]),
        ("*b*b*", ["bb", "abab", "bxxb"]),
        ("*?", ["a", "ab"]),
        ("a*b?d*e", ["abcde", "axbbdye", "abbbxde"]),
        ("**", ["", "x"]),
        ("dev-?-*", ["dev-1-", "dev-2-x"]),
        ("*aab*", ["aaab", "aaaab"]),
        ("*a?b*", ["aaab", "xaxbx"]),
        ("ü*", ["üb"]),
    ],
)
def test_matches(pattern: str, names: list[str]):
    assert [name for name in names if not Glob(pattern).matches(name)] == []


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a*", ["", "ba"]),
        ("*z", ["", "za"]),
        ("a*z", ["a", "z", "az "]),
        ("ab*ba", ["aba"]),
        ("a?c", ["ac", "abbc"]),
        ("?", ["", "xx"]),
        ("*b*b*", ["b", ""]),
        ("*?", [""]),
        ("a*b?d*e", ["abde", "abcd"]),
        ("*a?b*", ["ab", "aab"[:2], "acc"]),
        (".*", ["abc"]),
        ("[a]*", ["a"]),
    ],
)
def test_does_not_match(pattern: str, names: list[str]):
    assert [name for name in names if Glob(pattern).matches(name)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 500 + "b",
        "*" + "a" * 1_000 + "b*",
        "*" + "a" * 500 + "?" + "a" * 500 + "b*",
        "*?" * 500 + "b",
        "*a?" * 300 + "*b*",
        "?" * 1_000 + "*b",
    ],
)
def test_no_pattern_takes_more_than_a_moment(pattern: str):
    """With going back these would take longer than anybody lives."""
    glob = Glob(pattern)
    began = time.perf_counter()
    assert not glob.matches("a" * LONG)
    assert time.perf_counter() - began < 1.0


def test_what_is_one():
    assert [is_glob(text) for text in ("a", "a*", "?")] == [False, True, True]
