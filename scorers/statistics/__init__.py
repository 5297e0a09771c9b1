"""Bootstrap, comparison tests, the mixed logistic model. Metrics and forgetting measures import it."""
