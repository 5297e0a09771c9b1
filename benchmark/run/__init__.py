"""From settings to a finished run folder: settings, plan, pipeline. `verify` and above import it."""
