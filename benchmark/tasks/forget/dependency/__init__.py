"""Visual prompt dependency of responses. `forget`, `report.trace` and `study` import it."""
