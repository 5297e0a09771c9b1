"""The task `describe`: free-form descriptions, judged and scored. `run` and `forget` import it."""
