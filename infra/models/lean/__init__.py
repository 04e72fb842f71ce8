"""Decoders of the Llama family without their wrapping: the same weights and the same mathematics in fewer, larger steps.

`weights` reads a model of transformers, `layers` has the products, `attention` the groups that share a prompt,
`forward` training and scoring, `decoding` one token at a time. Any other architecture takes transformers' own path.
"""
