"""The check `tokens`: where a text is too long, in one piece and in many, and which tokenizer counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from guardproxy.checks import Resources, build
from guardproxy.checks.tokens import PIECE
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Window
from guardproxy.inference import Models
from guardproxy.testing import assert_promise
from tests.kit.checks import CHANNEL, PROSE, assert_every_split, held_words, whole

KNOWN = f"{PROSE} one two three four five six seven word x y {'z' * 40}"


def words() -> bytes:
    """A tokenizer for which each word of `KNOWN` is a token, and each sign in it."""
    splitting = pre_tokenizers.Whitespace()
    known = dict.fromkeys(["?", *(word for word, _ in splitting.pre_tokenize_str(KNOWN))])
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="?"))
    tokenizer.pre_tokenizer = splitting
    tokenizer.enable_truncation(4)
    return tokenizer.to_str().encode()


def pieces_of_bytes() -> bytes:
    """A tokenizer for which each byte is a token."""
    tokenizer = Tokenizer(
        models.BPE(vocab={sign: at for at, sign in enumerate(pre_tokenizers.ByteLevel.alphabet())}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer.to_str().encode()


FILES = {"words.json": words(), "bytes.json": pieces_of_bytes(), "broken.json": b"{}"}


def read(name: str) -> bytes:
    if name not in FILES:
        raise FileNotFoundError(name)
    return FILES[name]


def missing(name: str) -> bytes:
    raise ConfigError(f"no model `{name}` is installed")


def check(most: int = 5, tokenizer: str = "words.json", **more: Any) -> Any:
    return build(
        "tokens", "tokens", {"most": most, "tokenizer": tokenizer, **more}, Resources(read=read, tokenizer=missing)
    )


def test_the_text_from_the_first_token_too_many_on_is_found() -> None:
    text = "one two three four five  six seven "
    (finding,) = assert_every_split(check(), text)
    assert (text[finding.start : finding.end], finding.label) == ("six seven", "TOO_LONG")
    assert finding.details[0].expected == "a text of at most 5 tokens"
    assert whole(check(), "one two three four five ") == []
    assert whole(check(), "") == []


def test_pieces_are_counted_together() -> None:
    text = "word " * 600
    for most in (1, 99, 100, 101, 102, 103, 300, 599):
        found = whole(check(most), text)
        assert found[0].start == 5 * most, most
        assert (
            "".join(text[finding.start : finding.end] for finding in found).split() == ["word"] * (600 - most) or most
        )
    assert whole(check(600), text) == []


def test_each_piece_that_is_too_long_is_found() -> None:
    text = "word " * 600
    found = whole(check(10), text)
    assert [finding.end - finding.start <= PIECE for finding in found] == [True] * len(found)
    assert sum(text[finding.start : finding.end].count("word") for finding in found) == 590


def test_the_count_is_that_of_the_whole_text() -> None:
    text = (PROSE + "  x   y\n\n" + "z" * 40 + " ") * 3
    for name in ("words.json", "bytes.json"):
        tokenizer = Tokenizer.from_buffer(FILES[name])
        tokenizer.no_truncation()
        count = len(tokenizer.encode(text, add_special_tokens=False).ids)
        assert whole(check(count, name), text) == []
        assert len(whole(check(count - 1, name), text.rstrip())) >= (name == "words.json")


def test_no_cut_changes_what_is_found() -> None:
    parts = ["word ", "x" * 300, "é" * 50, "\n\n", "   ", "ﷺ" * 40, " ", "a", ".", "日本語" * 50]
    for most, name in ((3, "words.json"), (40, "words.json"), (300, "bytes.json")):
        assert_promise(check(most, name), parts, 120)


def test_spaces_without_end_are_cut_somewhere() -> None:
    assert whole(check(), " " * 2000) == []
    assert_every_split(check(1), "a " + " " * (PIECE + 9) + "b")


def test_nothing_is_held_far_from_the_limit() -> None:
    assert max(held_words(check(100_000), PROSE)) == 0
    assert max(held_words(check(100_000), PROSE.replace("e", "é"))) == 0


def test_the_shipped_tokenizer_counts_if_no_other_is_named() -> None:
    shipped = build("tokens", "tokens", {"most": 4}, Resources(tokenizer=Models().tokenizer))
    text = "[CLS] is a text"
    (finding,) = whole(shipped, text)
    assert text[finding.start :] == "is a text"
    assert [advice.key for advice in shipped.traits.advice] == ["tokenizer"]
    assert check().traits.advice == ()


def of_pieces() -> bytes:
    """A tokenizer that knows some letters only."""
    vocabulary = [("<unk>", 0.0), *((letter, -1.0) for letter in "▁abc")]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer.to_str().encode()


@pytest.mark.parametrize("name", ["supervisor", "pieces.json"])
@pytest.mark.parametrize("text", ["สวัสดีครับ" * 5, "ᚠ" * 40, "😀 " * 20, "Zq9" * 1000])
def test_what_the_tokenizer_does_not_know_counts_by_its_characters(name: str, text: str) -> None:
    files = {"pieces.json": of_pieces()}
    resources = Resources(read=files.__getitem__, tokenizer=Models().tokenizer)
    hidden = build("tokens", "tokens", {"most": 15, "tokenizer": name}, resources)
    (first, *_) = assert_every_split(hidden, text[:200])
    assert first.start <= 50
    plain = build("tokens", "tokens", {"most": len(text) + 50, "tokenizer": name}, resources)
    assert whole(plain, text) == []


def test_a_changed_tokenizer_is_another_check() -> None:
    assert len({check().digest, check(6).digest, check(5, "bytes.json").digest}) == 3


@pytest.mark.parametrize(
    ("options", "resources", "said"),
    [
        ({}, Resources(), "`most` is missing"),
        ({"most": 0}, Resources(), "`most` must be a whole number from 1"),
        ({"most": 5, "tokenizer": ""}, Resources(), "must be a file or the name"),
        ({"most": 5}, Resources(), "no models are available"),
        ({"most": 5}, Resources(tokenizer=missing), "`supervisor` cannot be read: no model"),
        ({"most": 5, "tokenizer": "a.json"}, Resources(), "in a policies' folder only"),
        ({"most": 5, "tokenizer": "a.json"}, Resources(read=read), "`a.json` cannot be read"),
        ({"most": 5, "tokenizer": "broken.json"}, Resources(read=read), "`broken.json` is not a tokenizer"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], resources: Resources, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        build("tokens", "tokens", options, resources)


def test_a_window_without_the_state_of_the_one_before_is_refused() -> None:
    with pytest.raises(ValueError, match="state"):
        check().scan([Window(CHANNEL, "x", 5, 5)])


def test_a_model_folder_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_bytes(FILES["words.json"])
    (folder / "SHA256SUMS").write_text("0" * 64 + "  tokenizer.json\n")
    with pytest.raises(OptionError, match="`mine` cannot be read"):
        build("tokens", "tokens", {"most": 5, "tokenizer": "mine"}, Resources(tokenizer=Models((tmp_path,)).tokenizer))
