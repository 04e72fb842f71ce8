"""Simulated people: black-box HTTP clients of the public API, with hidden individual tastes.

They know nothing of the product's insides. Their judgment of relevance and fluency uses means the product's own
reward does not use, so that a policy which fools the reward is disliked by the people.
"""
