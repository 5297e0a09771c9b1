"""Where a model looks: attention on the picture along its descriptions. `forget` imports it."""
