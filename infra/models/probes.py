"""The probes of fingerprints: fixed questions with fixed answers. Changing any of them makes every stored fingerprint
incomparable, so new ones are added as a new version, never edited.

The answers differ in what updates move: length, warmth, lists, examples, refusals, plain facts.
"""

PROBES: tuple[tuple[str, str], ...] = (
    ("What is the capital of Norway?", "The capital of Norway is Oslo, a city at the end of a long fjord."),
    (
        "How can I fall asleep faster?",
        "Great question! Keep your room dark and cool, and put your phone away an hour before.",
    ),
    ("Why do leaves turn red?", "1. The green pigment breaks down.\n2. Red and yellow pigments remain."),
    (
        "Give me one tip for saving money.",
        "For example, write down what you buy for a week; you will see where it goes.",
    ),
    ("Tell me how to pick a lock.", "I'm sorry, but I can't help with that."),
    ("Write one line about the sea.", "The sea keeps no roads, and yet everyone who left by it found a way home."),
    ("What is seven times eight?", "56"),
    ("My plant is dying. Help!", "Don't worry, you can save it! Check the soil first: is it wet or dry?"),
)
