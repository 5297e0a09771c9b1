"""Records, errors, the contracts of judges and metrics, registries, signatures. Every package may import it."""
