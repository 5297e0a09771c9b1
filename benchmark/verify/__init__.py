"""Finished runs read back, compared and checked; models examined. `report` and `cli` import it."""
