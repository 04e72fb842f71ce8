"""Personal data that has a form: found with its check digits, and nothing that only looks like it."""

import msgspec
import pytest

from infra.contracts import Answer, Interaction, Message
from serving.hooks import UnknownHook
from serving.redaction import Redactor, iban_is_valid, luhn

ALL = Redactor(("email", "phone", "card", "iban"))
INTERACTION = Interaction(
    project="default",
    response_id="r",
    conversation_id="c",
    created_at=1.0,
    messages=(Message("user", "write to ann@example.org"),),
    answers=(Answer(0, "I will.", "stop", (1, 2), (-1.0, -1.0), (-1.0, -1.0)),),
    prompt_token_ids=(7, 8),
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail ann.o'neil@example.co.uk now", "mail [email] now"),
        ("ann+x@a-b.example, bob@b.io.", "[email], [email]."),
        ("4111 1111 1111 1111", "[card]"),
        ("card 5500-0000-0000-0004!", "card [card]!"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),  # wrong check digit
        ("DE89 3704 0044 0532 0130 00 please", "[iban] please"),
        ("GB82WEST12345698765432", "[iban]"),
        ("GB82WEST12345698765431", "GB82WEST12345698765431"),
        ("+49 30 1234567", "[phone]"),
        ("call (555) 123-4567 or 555-123-4567", "call [phone] or [phone]"),
        ("0044 20 7946 0958", "[phone]"),
        ("in 2026, 3.14159 of 1,000,000 on 2026-11-28 at 10:30:00", None),
        ("version 1.2.3.4, room 12-34, 10 000 000 people", None),
        ("a@b, @handle, user@localhost", None),
    ],
)
def test_texts(text: str, clean: str | None) -> None:
    assert ALL.clean(text) == (text if clean is None else clean)


def test_check_digits() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert iban_is_valid("GB29 NWBK 6016 1331 9268 19")
    assert not iban_is_valid("GB28 NWBK 6016 1331 9268 19")


def test_a_changed_text_loses_its_tokens_and_only_that() -> None:
    found = ALL.redacted(INTERACTION)
    assert found.messages[0].content == "write to [email]"
    assert (found.prompt_token_ids, found.answers, found.redacted) == ((), INTERACTION.answers, True)
    told = msgspec.structs.replace(
        INTERACTION,
        messages=(Message("user", "who?"),),
        answers=(msgspec.structs.replace(INTERACTION.answers[0], text="bob@b.io"),),
    )
    found = ALL.redacted(told)
    (answer,) = found.answers
    assert (answer.text, answer.token_ids, answer.logprobs_raw, answer.logprobs_sampled) == ("[email]", (), (), ())
    assert found.prompt_token_ids == (7, 8)


def test_nothing_found_is_nothing_changed() -> None:
    clean = msgspec.structs.replace(INTERACTION, messages=(Message("user", "hello"),))
    assert ALL.redacted(clean) is clean
    assert Redactor(()).redacted(INTERACTION) is INTERACTION


def shouted(text: str) -> str:
    return text.replace("secret", "[gone]")


def test_a_deployment_brings_its_own() -> None:
    assert Redactor(("email", "tests.serving.test_redaction:shouted")).clean("secret a@b.io") == "[gone] [email]"
    for wrong in ("emial", "tests.serving.test_redaction:absent", "no.such.module:f"):
        with pytest.raises(UnknownHook, match="redact"):
            Redactor((wrong,))


def test_long_texts_take_no_time_to_speak_of() -> None:
    for text in ("1 " * 20_000, "a." * 20_000 + "@", "+1" * 20_000, "AA11 " * 8_000):
        ALL.clean(text)
