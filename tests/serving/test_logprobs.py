"""Log-probabilities in both of OpenAI's shapes, by hand."""

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


def test_an_engine_that_tells_no_alternatives() -> None:
    assert alternatives_of(GenerationResult((1,), (-1.0,), (-1.0,), "stop")) == ()
