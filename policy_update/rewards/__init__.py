"""Rewards of an answer beside the reward model's heads: verifiable ones, the surface of the text, safety, your own.

A reward is a function `AnswerBatch -> (N,)` that is NaN where it says nothing about an answer, made by name in
`registry` and bounded before anything is weighted.
"""
