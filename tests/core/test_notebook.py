"""How answers look in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from solvers import certify, kkt
from solvers.examples import EXAMPLES

REQUEST = EXAMPLES["theorem-3.2"].request
PROBLEM = (REQUEST["network"], REQUEST["dataset"], REQUEST["parameters"])


def read(html: str) -> tuple[str, list[str]]:
    words: list[str] = []
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_data = words.append  # type: ignore[method-assign]
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    parser.close()
    return "".join(words), tags


def test_verdict_sentence_and_answers_are_shown():
    answer = certify(*PROBLEM)
    text, tags = read(answer._repr_html_())
    assert "not local optimum" in text
    assert answer.to_dict()["summary"] in text
    assert tags.count("tr") == 3


def test_the_kkt_question_alone():
    text, tags = read(kkt(*PROBLEM)._repr_html_())
    assert "KKT pointyes" in text
    assert tags.count("tr") == 1


@pytest.mark.parametrize("name", ["<b>bold</b>", "<script>alert(1)</script>", "a & b"])
def test_names_are_shown_literally(name: str):
    text, tags = read(certify(*PROBLEM, name=name)._repr_html_())
    assert name in text
    assert not {"b", "script"} & set(tags)
