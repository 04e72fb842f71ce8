"""The algebra of policy updates: rewards -> advantages -> a loss per token -> one number, pure functions by name.

`experience` has the types, one file each has a stage, `recipe` runs one function of each, `recipes` and `table` list
the compositions, `options` finds one by name and changes it as settings say, `describing` puts them into words.
"""
