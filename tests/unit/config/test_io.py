"""Integers that a file writes as `1.0` or `1e3`."""

# ruff: noqa: RUF012, a default of a field is no class attribute

from __future__ import annotations

from typing import Any

import pytest

from nshtrainer.config import Config
from nshtrainer.configs import AdamWConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.trainer_config import TrainerConfig


class Sizes(Config):
    size: int = 1
    maybe: int | None = None
    each: tuple[int, ...] = ()
    table: dict[str, int] = {}
    share: int | float = 1
    word: int | str = 1
    flag: bool = False
    free: Any = None
    inner: AdamWConfig = AdamWConfig()


@pytest.mark.parametrize("text_format", ["yaml", "json", "toml"])
def test_a_whole_number_may_be_written_with_a_fraction_of_zero(text_format: str) -> None:
    texts = {
        "yaml": "size: 1e3\nmaybe: 2.0\neach: [1.0, 2]\ntable: {a: 5e0}\nword: 7.0",
        "json": '{"size": 1e3, "maybe": 2.0, "each": [1.0, 2], "table": {"a": 5e0}, "word": 7.0}',
        "toml": "size = 1e3\nmaybe = 2.0\neach = [1.0, 2]\nword = 7.0\ntable = {a = 5e0}",
    }
    made = getattr(Sizes, f"from_{text_format}")(texts[text_format])
    assert made == Sizes(size=1000, maybe=2, each=(1, 2), table={"a": 5}, word=7)
    assert [type(value) for value in (made.size, *made.each, made.word)] == [int] * 4


def test_a_whole_number_in_an_override_may_have_an_exponent() -> None:
    made = Sizes.from_mapping({"each": [1, 2]}, overrides=["size=1e3", "each.1=2.0"])
    assert (made.size, made.each) == (1000, (1, 2))


def test_a_float_stays_one_where_it_fits() -> None:
    """One batch is another limit than all of them."""
    made = TrainerConfig.from_yaml("limit_train_batches: 1.0")
    assert isinstance(made.limit_train_batches, float)
    loaded = Sizes.from_yaml("share: 1.0\nfree: 1.0\ninner: {lr: 1.0}\nsize: 2.0")
    assert [type(value) for value in (loaded.share, loaded.free, loaded.inner.lr)] == [float] * 3


@pytest.mark.parametrize("value", ["1.5", ".inf", ".nan", "true", "'1'", "'1.0'"])
def test_what_is_no_whole_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"<yaml>:2:7: size: must be a whole number"):
        Sizes.from_yaml(f"maybe: 1.0\nsize: {value}")
    with pytest.raises(ConfigError, match=r"flag: must be true or false \(got 1\.0\)"):
        Sizes.from_yaml("flag: 1.0")


def test_thousands_of_such_numbers_are_read() -> None:
    text = f"each: [{', '.join(['1.0'] * 1000)}]"
    assert Sizes.from_yaml(text).each == (1,) * 1000
