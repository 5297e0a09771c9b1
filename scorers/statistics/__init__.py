"""Bootstrap, paired tests, the mixed logistic model. Metrics and forgetting measures import it."""
