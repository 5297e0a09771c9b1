"""One module per way to run a model, and the registry that finds them. It imports all folders but `training`."""
