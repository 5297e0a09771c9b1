"""Leaderboard, report page, examples and tables of finished runs. `study` and `cli` import it."""
