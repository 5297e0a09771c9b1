"""A run, from its settings to the leaderboard: here judge meets model. Imports `models` and `scorers`."""
