"""What `eidolon check` asks of a task, and the run folder that the task answers from. Tasks and `verify` import it."""
