"""Our problems and the price of thinking for other people's trainers, where a machine is bigger than `train.rl` wants.

`questions` is what they share; `trl` and `verifiers` are thin and import those libraries only when they are used.
"""
