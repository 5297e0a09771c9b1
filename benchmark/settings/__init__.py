"""What a user may set: one model a verb, read by the CLI, `--config`, `run.json` and Python. All above import it."""
