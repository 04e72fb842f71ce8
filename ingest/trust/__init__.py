"""How far each person is trusted: estimated here and nowhere else, read by whoever weighs votes."""
