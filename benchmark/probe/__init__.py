"""The task `probe`: yes/no questions about objects, built from any annotated dataset and asked of a model."""
