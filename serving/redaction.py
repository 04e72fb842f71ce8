"""Personal data taken out of what is stored. What is answered stays as it is: the person typed it, or asked for it.

Where a text was changed its token ids are left out of the record, as they would tell what the text no longer does;
learning takes no answer without tokens. Patterns find what has a form; names and stories have none, so this lowers the
amount of personal data on disk and does not make it anonymous.
"""

import re
from collections.abc import Callable, Iterable

import msgspec

from infra.contracts import Answer, Interaction, Message
from serving.hooks import load_hook

Clean = Callable[[str], str]

_EMAIL = re.compile(
    r"(?<![\w.+'-])[A-Za-z0-9_.+%'-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}\b"
)
_PHONE = re.compile(
    r"(?<![\w+.])(?:(?:\+|00)[1-9](?:[ ./-]?\(?\d{1,4}\)?){2,6}"  # +49 30 1234567, 0044 20 7946 0958
    r"|\(\d{2,5}\)[ ./-]?\d{3,4}[ ./-]?\d{3,5}"  # (030) 1234567, (555) 123-4567
    r"|\d{3}[.-]\d{3}[.-]\d{4}"  # 555-123-4567
    r"|0\d{2,4}[ /-]\d{3,4}[ /-]?\d{3,5})(?![\w])"  # 030 123 4567
)
_PHONE_DIGITS = range(8, 16)  # E.164 allows 15
_CARD = re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{1,4}){3,8}(?!\w)")


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_is_valid(text: str) -> bool:
    """15 to 34 characters whose number is 1 modulo 97 (ISO 13616, ISO 7064 MOD 97-10)."""
    plain = text.replace(" ", "").upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1


def _emails(text: str) -> str:
    return _EMAIL.sub("[email]", text) if "@" in text else text


def _phones(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        return "[phone]" if sum(c.isdigit() for c in found[0]) in _PHONE_DIGITS else found[0]

    return _PHONE.sub(replaced, text)


def _cards(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        digits = found[0].replace(" ", "").replace("-", "")
        return "[card]" if luhn(digits) and len(set(digits)) > 1 else found[0]

    return _CARD.sub(replaced, text)


def _ibans(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        words = found[0].split(" ")
        for count in range(len(words), 0, -1):  # the pattern may have run into the words that follow
            if iban_is_valid(" ".join(words[:count])):
                return " ".join(["[iban]", *words[count:]])
        return found[0]

    return _IBAN.sub(replaced, text)


BUILT_IN: dict[str, Clean] = {"iban": _ibans, "card": _cards, "email": _emails, "phone": _phones}
"""In the order in which they are applied: what is a card number is not taken for a phone's first."""


class Redactor:
    """Cleans interactions. Pure once made; does nothing where settings name nothing."""

    def __init__(self, names: Iterable[str]) -> None:
        """Raises UnknownHook."""
        wanted = list(names)
        built_in = [clean for name, clean in BUILT_IN.items() if name in wanted]
        own = [load_hook(name, "serving.redact") for name in wanted if name not in BUILT_IN]
        self._steps: list[Clean] = [*built_in, *own]

    def clean(self, text: str) -> str:
        """The text without what is looked for."""
        for step in self._steps:
            text = step(text)
        return text

    def redacted(self, interaction: Interaction) -> Interaction:
        """The interaction as it may be stored."""
        if not self._steps:
            return interaction
        messages = tuple(Message(message.role, self.clean(message.content)) for message in interaction.messages)
        answers = tuple(self._answer(answer) for answer in interaction.answers)
        if messages == interaction.messages and answers == interaction.answers:
            return interaction
        tokens = interaction.prompt_token_ids if messages == interaction.messages else ()
        return msgspec.structs.replace(
            interaction, messages=messages, answers=answers, prompt_token_ids=tokens, redacted=True
        )

    def _answer(self, answer: Answer) -> Answer:
        text = self.clean(answer.text)
        return answer if text == answer.text else without_tokens(answer, text)


def without_tokens(answer: Answer, text: str) -> Answer:
    """The answer with another text, and nothing that would tell the one it had."""
    return msgspec.structs.replace(answer, text=text, token_ids=(), logprobs_raw=(), logprobs_sampled=())
