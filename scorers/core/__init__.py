"""Records, errors, the metric protocol, the registry, signatures. Every package imports it."""
