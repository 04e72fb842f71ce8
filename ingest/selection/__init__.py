"""Who votes: feedback propensities, corrected rates, bounds on what silence hides, and asking at random."""
