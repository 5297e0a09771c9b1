"""The leaderboard's columns of the task `forget`, best known first."""

from eidolon.scorers.core.metric import LeaderboardColumn

COLUMNS: tuple[LeaderboardColumn, ...] = (
    LeaderboardColumn("retention_filler_128", "kept after\n128 filler ↑", decimals=".2f"),
    LeaderboardColumn("position_given_knowledge", "given knowledge\nper 100 ↓", decimals=".3g"),
    LeaderboardColumn(
        "retention_own_longest",
        "kept after\nown text ↑",
        decimals=".2f",
        at="retention_own_longest_tokens",
    ),
    LeaderboardColumn("pdm_decay_per_100_tokens", "PDM decay\nper 100 ↓", decimals=".2f"),
    LeaderboardColumn("pdm_decay_objects_per_100_tokens", "at objects ↓", decimals=".2f"),
    LeaderboardColumn("adjusted_odds_ratio_per_100_words", "late-early\nodds ratio ↓", decimals=".3g"),
)
"""Quantities of the family `forgetting`. The first sorts the table: every model keeps what it keeps behind the same
number of filler tokens, so that it is set by the run and not by the model's own text."""
