"""Files made to hurt: they are refused, fast, and within a bounded memory."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import pytest

from sensverify.errors import BadProperty
from sensverify.formats.vnnlib import load_property, loading, parse_property, parser, script

START = "(declare-const X_0 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)(assert (= X_0 0))"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10**6,
        "(assert " * 200,
        f"{START}(assert {'(and ' * 150}(<= Y_0 0){')' * 150})",
        f"{START}(assert (<= {'(- ' * 150}Y_0{')' * 150} 0))",
    ],
)
def test_deep_nesting(text: str) -> None:
    with pytest.raises(BadProperty, match="nested more than 100 deep"):
        parse_property(text)


def test_nesting_within_the_limit() -> None:
    deep = 90
    text = f"{START}(assert {'(or ' * deep}(<= Y_0 0){')' * deep})"
    assert parse_property(text).queries[0].alternatives == ((0,),)


def test_exponentially_many_cases() -> None:
    either = "(assert (or (<= Y_0 0) (<= Y_1 0)))"
    with pytest.raises(BadProperty, match="more than 100,000 cases"):
        parse_property(START + 40 * either)
    inside = f"(assert (and {' '.join(['(or (<= Y_0 0) (<= Y_1 0))'] * 40)}))"
    with pytest.raises(BadProperty, match=r"line 1: .*more than 100,000 cases"):
        parse_property(START + inside)


@pytest.mark.parametrize(
    ("first", "again", "body", "words"),
    [
        ("(and (<= Y_0 0) (<= Y_1 0))", "(and a a)", "a", "more than 10,000,000 constraints"),
        ("(xor (<= Y_0 0) (<= Y_1 0))", "(xor a (< Y_0 Y_1))", "a", "more than 100,000 cases"),
        ("3", "(* a a)", "(<= Y_0 a)", "gets too long"),
        ("(ite (<= Y_0 0) 1 2)", "(+ a a)", "(<= Y_0 a)", "more than 4,096 values"),
    ],
)
def test_names_that_double_at_every_level(first: str, again: str, body: str, words: str) -> None:
    text = f"(let ((a {first})) {f'(let ((a {again})) ' * 60}{body}{')' * 61}"
    with pytest.raises(BadProperty, match=words):
        parse_property(f"{START}(assert {text})")


def test_names_defined_by_each_other() -> None:
    links = "".join(f"(define-fun a{i + 1} () Bool (xor a{i} (<= Y_0 {i})))" for i in range(500))
    with pytest.raises(BadProperty, match="nested more than 250 deep"):
        parse_property(f"{START}(define-fun a0 () Bool (<= Y_1 0)){links}(assert a500)")


@pytest.mark.parametrize("order", [1, -1])
def test_long_chains_of_fixed_inputs(order: int) -> None:
    count = 2000
    text = "".join(f"(declare-const X_{i} Real)" for i in range(count)) + "(declare-const Y_0 Real)"
    chain = [f"(assert (= X_{i} (+ X_{i - 1} 1)))" for i in range(1, count)]
    began = time.process_time()
    (case,) = parse_property(text + "".join(chain[::order]) + "(assert (= X_0 0))").cases
    assert time.process_time() - began < 5
    assert case.lower.tolist() == case.upper.tolist() == list(range(count))


def test_many_large_cases() -> None:
    long = " ".join(["(<= Y_0 0)"] * 2000)
    wide = " ".join(["(<= Y_1 0)"] * 9000)
    with pytest.raises(BadProperty, match="more than 10,000,000 constraints"):
        parse_property(f"{START}(assert (and (or (and {long}) false {long[:10]}) (or {wide})))")


def test_many_boxes_of_many_inputs() -> None:
    inputs = 4000
    declared = "".join(f"(declare-const X_{i} Real)(assert (= X_{i} 0))" for i in range(1, inputs))
    boxes = " ".join(f"(= X_0 {i})" for i in range(9000))
    text = f"(declare-const X_0 Real)(declare-const Y_0 Real){declared}(assert (or {boxes}))"
    with pytest.raises(BadProperty, match="9,000 input boxes"):
        parse_property(text)


@pytest.mark.parametrize(
    "number",
    [
        "1" * 5000,
        "1e99999",
        "1e-999999999",
        f"(* {' '.join(['1e300'] * 100)})",
        f"(+ {' '.join(f'(/ 1 {10**40 + i})' for i in range(1, 900))})",
    ],
)
def test_long_numbers(number: str) -> None:
    began = time.perf_counter()
    with pytest.raises(BadProperty, match="line 1"):
        parse_property(f"{START}(assert (<= Y_0 {number}))")
    assert time.perf_counter() - began < 5


def test_many_words_and_many_assertions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "TOKENS", 1000)
    monkeypatch.setattr(script, "_LARGEST", 1000)
    with pytest.raises(BadProperty, match="line 1: a form of more than 1,000 words"):
        parse_property(f"{START}(assert (or {'(<= Y_0 0)' * 500}))")
    with pytest.raises(BadProperty, match="more than 1,000 variables or constraints"):
        parse_property(START + "(assert (<= Y_0 0))" * 2000)
    with pytest.raises(BadProperty, match="more than 1,000 variables or constraints"):
        parse_property("".join(f"(declare-const X_{i} Real)" for i in range(2000)))


def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SIZE_LIMIT", 10**6)
    path = tmp_path / "bomb.vnnlib.gz"
    path.write_bytes(gzip.compress(b" " * 10**8))
    with pytest.raises(BadProperty, match="unpacks to more than 1000000 bytes"):
        load_property(path)
    path.write_bytes(os.urandom(2 * 10**6))
    with pytest.raises(BadProperty, match="at most 1000000 are read"):
        load_property(path)


@pytest.mark.parametrize(
    "contents", [b"", b"\x1f\x8b\x08broken", gzip.compress(b"(assert", mtime=0)[:-9]]
)
def test_broken_files(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "p.vnnlib.gz"
    path.write_bytes(contents)
    with pytest.raises(BadProperty, match="property file"):
        load_property(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadProperty, match="cannot read property file"):
        load_property(tmp_path / "nothing.vnnlib")
    with pytest.raises(BadProperty, match=r"expected a \.vnnlib"):
        load_property(tmp_path)
    with pytest.raises(BadProperty):
        load_property("a\0b")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "p.vnnlib"
    path.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(BadProperty):
        load_property(path)
