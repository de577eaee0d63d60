from __future__ import annotations

from pathlib import Path

import pytest

from panderm.core.config import FrozenConfig, added, override, read_params
from panderm.core.errors import ConfigError


class Inner(FrozenConfig):
    depth: int = 2


class Example(FrozenConfig):
    rate: float = 0.5
    inner: Inner = Inner()


def test_parse__unknown_key_names_it_and_the_allowed_ones() -> None:
    with pytest.raises(ConfigError, match=r"train settings: unknown key 'rat'; allowed: rate, inner"):
        Example.parse({"rat": 1}, where="train settings")


def test_parse__wrong_type_says_what_was_seen() -> None:
    with pytest.raises(ConfigError, match=r"'inner.depth' is 'deep', but input should be a valid integer"):
        Example.parse({"inner": {"depth": "deep"}})


def test_config__is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Example().rate = 1.0  # type: ignore[misc]


def test_override__sets_nested_values_and_leaves_the_original() -> None:
    values = {"train": {"inner": {"depth": 2}}}
    changed = override(values, ("train.inner.depth=5", "train.rate=0.25"))
    assert changed["train"] == {"inner": {"depth": 5}, "rate": 0.25}
    assert values == {"train": {"inner": {"depth": 2}}}


@pytest.mark.parametrize("assignment", ["depth", "=3"])
def test_override__without_value_says_how_to_write_it(assignment: str) -> None:
    with pytest.raises(ConfigError, match=r"write it as section.key=value"):
        override({}, (assignment,))


def test_override__through_a_plain_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="'rate' holds a single value"):
        override({"train": {"rate": 1}}, ("train.rate.deep=1",))


def test_read_params__missing_file_means_defaults(tmp_path: Path) -> None:
    assert read_params(tmp_path / "params.yaml") == {}


@pytest.mark.parametrize(("text", "message"), [("- a\n", "holds a list"), ("a: [\n", "is not YAML")])
def test_read_params__not_a_mapping(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_params(tmp_path / "params.yaml")


def test_added__is_written_only_where_it_is_used() -> None:
    class Later(Example):
        note: str = added("")

    assert Later().model_dump(mode="json") == Example().model_dump(mode="json")
    assert Later(note="x").model_dump(mode="json")["note"] == "x"
    assert Later.parse({"rate": 0.5}) == Later()


def test_read_params__bytes_that_are_no_text_and_a_file_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "params.yaml"
    for data in (b'curate: {a: "\xe4"}\n', b"a: 2024-13-45\n"):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=r"params.yaml is not YAML"):
            read_params(path)

    def closed(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", closed)
    with pytest.raises(ConfigError, match=r"params.yaml cannot be read \(Permission denied\)"):
        read_params(path)


@pytest.mark.parametrize("value", ["[1,", "{x: y: z}", "2024-13-45"])
def test_override__a_value_that_is_no_yaml(value: str) -> None:
    with pytest.raises(ConfigError, match=r"--set 'train.rate=.*' is not YAML"):
        override({}, (f"train.rate={value}",))
