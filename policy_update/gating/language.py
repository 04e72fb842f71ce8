"""Whether an answer is in another script or language than its prompt: a small detector, made for this. Pure.

Script: that of most letters, by Unicode name; Chinese characters and both kana count as one. Language: among those of
Latin script in `FUNCTION_WORDS`, the one whose short everyday words occur most. It abstains (None) on little text and
on a near tie, and an abstention is no drift. What it cannot see: languages that share another script (Russian and
Ukrainian, Arabic and Persian, Chinese and Japanese), Latin languages that are not listed, a switch in the middle of an
answer that leaves most of it in the first language, and anything under `FEWEST_WORDS` listed words.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

FEWEST_LETTERS = 6
"""Letters without which no script is named."""
FEWEST_WORDS = 3
"""Listed words without which no language is named; the runner-up must have at most half as many."""
FOREIGN_SHARE = 0.3
"""Share of an answer's letters in other scripts than the prompt's from which on the answer has drifted."""

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "English": "the and of to is that it you for are with this be have can what how your not from they will or by",
        "German": "der die das und ist nicht ich sie ein eine mit auf für von zu den dem sich auch wie wird kann oder",
        "French": "le la les et est pas je vous un une des du pour dans que qui sur avec ce cette sont être ou au",
        "Spanish": "el la los las y es no que de un una por para con en su se lo como más pero son está puede usted",
        "Italian": "il lo gli e è non che di un una per con in si come più ma sono del della nel questo può anche",
        "Portuguese": "o os as e é não que de um uma por para com em se como mais mas são do da no na você pode",
        "Dutch": "de het een en is niet ik je van te dat die in op met voor zijn er aan ook als maar kan wordt",
        "Polish": "i w na z nie się to jest do że jak ale od za co tak przez dla być może oraz jego jej są",
        "Turkish": "ve bir bu için ile de da çok ne gibi daha var olarak olan en ama o değil ben sen her",
        "Swedish": "och att det är en ett som på för med inte av jag du den kan har om till men var ska så",
    }.items()
}
_WORD = re.compile(r"[^\W\d_]+")
_TOGETHER = {"CJK": "Han and kana", "HIRAGANA": "Han and kana", "KATAKANA": "Han and kana"}


@lru_cache(maxsize=4096)
def _script_of(letter: str) -> str:
    first = unicodedata.name(letter, "UNKNOWN").split()[0].split("-")[0]
    return _TOGETHER.get(first, first.capitalize())


def scripts(text: str) -> Counter[str]:
    """Letters by script."""
    return Counter(_script_of(letter) for letter in text if letter.isalpha())


def script(text: str) -> str | None:
    """The script of most letters; None for fewer than `FEWEST_LETTERS`."""
    found = scripts(text)
    return found.most_common(1)[0][0] if found.total() >= FEWEST_LETTERS else None


def language(text: str) -> str | None:
    """The language of a text in Latin script, or None where that is not clear."""
    words = [word.lower() for word in _WORD.findall(text)]
    counts = {name: sum(word in known for word in words) for name, known in FUNCTION_WORDS.items()}
    (first, most), (_, next_most), *_ = sorted(counts.items(), key=lambda item: -item[1])
    return first if most >= FEWEST_WORDS and next_most <= most / 2 else None


def drifted(question: str, answer: str) -> bool:
    """Whether the answer is shown to be in another script or language than the question."""
    asked, found = script(question), scripts(answer)
    if asked is None or found.total() < FEWEST_LETTERS:
        return False
    if 1 - found[asked] / found.total() >= FOREIGN_SHARE:
        return True
    of_question, of_answer = language(question), language(answer)
    return of_question is not None and of_answer is not None and of_question != of_answer
