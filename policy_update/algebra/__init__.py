"""The algebra of policy updates: rewards -> advantages -> a loss per token -> one number, pure functions by name.

`experience` has the types, one file each has a stage, `recipes` the table of compositions.
"""
