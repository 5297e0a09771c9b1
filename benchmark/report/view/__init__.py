"""The page of `eidolon view`: a run's files as one data model, and the page that shows it. Only `cli` imports it."""
