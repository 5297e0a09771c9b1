"""What a model is asked and what its answers become, a package a task. `run` and above import it."""
