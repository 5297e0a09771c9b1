"""One module a metric family: sufficient statistics, a function of their sum. `benchmark` imports it."""
