"""Questions to a model in the middle of its text: forcing, interviews, dependency. Backends import it."""
