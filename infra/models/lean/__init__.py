"""Decoders of the Llama family laid open: the same weights and mathematics in fewer, larger steps.

`weights` reads a model of transformers, `layers` has the products, `attention` the groups that share a prompt,
`forward` training and scoring, `decoding` one token at a time. Any other architecture takes transformers' own path.
"""
