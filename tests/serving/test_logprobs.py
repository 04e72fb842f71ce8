"""Log-probabilities in both of OpenAI's shapes, by hand."""

from infra.models.loading import LoadedModel
from infra.models.port import GenerationResult
from serving.logprobs import Teller, alternatives_of

WORDS = {1: "a", 2: "bc", 3: "é"}


class Tokenizer:
    """Three tokens."""

    def decode(self, token_ids: list[int]) -> str:
        return "".join(WORDS[token] for token in token_ids)


TOPS = [[(2, -0.5), (1, -1.0)], [(3, -0.1), (2, -3.0)]]


def test_chats() -> None:
    told = Teller(Tokenizer(), raw=False, most=2).told([1, 3], [-1.0, -0.1], TOPS)
    assert told == {
        "content": [
            {
                "token": "a",
                "logprob": -1.0,
                "bytes": [97],
                "top_logprobs": [
                    {"token": "bc", "logprob": -0.5, "bytes": [98, 99]},
                    {"token": "a", "logprob": -1.0, "bytes": [97]},
                ],
            },
            {
                "token": "é",
                "logprob": -0.1,
                "bytes": [195, 169],
                "top_logprobs": [
                    {"token": "é", "logprob": -0.1, "bytes": [195, 169]},
                    {"token": "bc", "logprob": -3.0, "bytes": [98, 99]},
                ],
            },
        ],
        "refusal": None,
    }


def test_completions_count_offsets_on_through_the_pieces() -> None:
    teller = Teller(Tokenizer(), raw=True, most=1)
    assert teller.told([1, 2], [-1.0, -2.0], TOPS) == {
        "tokens": ["a", "bc"],
        "token_logprobs": [-1.0, -2.0],
        "top_logprobs": [{"bc": -0.5}, {"é": -0.1}],
        "text_offset": [0, 1],
    }
    assert teller.told([3], [-0.1])["text_offset"] == [3]
    assert Teller(Tokenizer(), raw=True, most=0).told([1], [-1.0])["top_logprobs"] is None


def test_the_bytes_of_all_tokens_together_are_those_of_the_answer(tiny_loaded: LoadedModel) -> None:
    """Most characters of this text are several tokens, none of which is a text by itself."""
    text = "Zürich \u2013 漢字, 👨\u200d👩, \x00\x7f and \xa0"
    token_ids = tiny_loaded.tokenizer(text, add_special_tokens=False).input_ids
    told = Teller(tiny_loaded.tokenizer, raw=False, most=0).told(token_ids, [-1.0] * len(token_ids))
    assert any(one["token"] == "\ufffd" for one in told["content"])
    assert bytes(byte for one in told["content"] for byte in one["bytes"]) == text.encode()


class Sentencepiece:
    """A byte by its name, a letter that byte-level BPE would take for another one, and a true U+FFFD."""

    names = ("<0xE9>", "\u00e9", "\u2581\ufffd")

    def convert_ids_to_tokens(self, token: int) -> str:
        return self.names[token]

    def decode(self, token_ids: list[int]) -> str:
        return ("\ufffd", "\u00e9", " \ufffd")[token_ids[0]]


def test_bytes_of_other_kinds_of_tokenizers() -> None:
    told = Teller(Sentencepiece(), raw=False, most=0).told([0, 1, 2], [-1.0] * 3)
    assert [bytes(one["bytes"]) for one in told["content"]] == [b"\xe9", "\u00e9".encode(), " \ufffd".encode()]


def test_an_engine_that_tells_no_alternatives() -> None:
    assert alternatives_of(GenerationResult((1,), (-1.0,), (-1.0,), "stop")) == ()
