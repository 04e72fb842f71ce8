"""The engine on this machine: rows of any adapter that come and go between steps.

`engine` is the port and its thread, `waiting` who waits and whose turn it is, `continuous` the rows that run and one
step of them, `whole` the same for architectures that only transformers computes, `voices` loads adapters and proves
them.
"""
