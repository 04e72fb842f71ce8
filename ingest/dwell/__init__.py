"""Reading time as a reward: what the length of an answer explains is removed."""
