"""Remembered pieces give the tokens that the whole conversation gives."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.contracts import Message
from infra.models.chat import render_chat
from infra.models.loading import LoadedModel
from infra.models.rendering import ChatRenderer

_TEXTS = st.text(max_size=20) | st.sampled_from(["<|im_end|>", " two  spaces\n", "<|im_start|>system\nx", ""])
_MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), _TEXTS), min_size=1, max_size=4
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversations=st.lists(_MESSAGES, min_size=1, max_size=3))
def test_pieces_are_the_whole(tiny_loaded: LoadedModel, conversations: list[list[Message]]) -> None:
    renderer = ChatRenderer(tiny_loaded, most_characters=200)
    assert renderer.remembers
    for messages in conversations:
        assert renderer.render(messages) == render_chat(tiny_loaded, messages)
        assert renderer._characters == sum(len(piece) + 64 for piece in renderer._known) <= 200


def test_a_tokenizer_that_begins_texts_in_a_way_of_its_own_is_found_out(tiny_loaded: LoadedModel) -> None:
    from tokenizers import pre_tokenizers

    tiny_loaded.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    renderer = ChatRenderer(tiny_loaded, 1000)
    messages = [Message("user", "hello"), Message("assistant", "x"), Message("user", "again")]
    assert renderer.render(messages) == render_chat(tiny_loaded, messages)
