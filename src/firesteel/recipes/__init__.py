"""Complete runs as functions that return a `firesteel.train.config.Run` or a `firesteel.train.rl.config.RLRun`."""

from firesteel.recipes.kindling import kindling, smoke
from firesteel.recipes.ladder import ladder, smoke_sparse
from firesteel.recipes.reinforcement import kindling_rl, smoke_rl
from firesteel.recipes.small import small, small_rl

RECIPES = {
    "kindling": kindling,
    "smoke": smoke,
    "smoke-sparse": smoke_sparse,
    "ladder": ladder,
    "small": small,
}
RL_RECIPES = {"kindling": kindling_rl, "small": small_rl, "smoke": smoke_rl}
