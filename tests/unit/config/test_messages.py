"""Parts of error messages."""

from __future__ import annotations

from itertools import count

from nshtrainer.config.messages import find_similar, lower_first, suggest


def test_similar_names_are_searched_for_a_bounded_time() -> None:
    assert find_similar("1700", map(str, count())) == ["1700"]


def test_a_usual_name_is_suggested_where_it_is_known() -> None:
    assert suggest("epochs", ["min_epochs", "max_epochs"]) == "; did you mean 'max_epochs'?"
    assert suggest("wd", iter(["lr", "weight_decay"])) == "; did you mean 'weight_decay'?"
    assert suggest("epochs", ["epoch"]) == "; did you mean 'epoch'?"
    assert not suggest("wd", ["lr"])


def test_lower_first_keeps_words_in_capitals() -> None:
    assert [lower_first(text) for text in ("Extra data", "YAML ends", "")] == [
        "extra data",
        "YAML ends",
        "",
    ]
