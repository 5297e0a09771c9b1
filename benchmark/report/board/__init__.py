"""The leaderboard as a page, and as files for papers, tables and the Hub. Only `cli` imports it."""
