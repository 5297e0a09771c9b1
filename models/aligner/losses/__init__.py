"""The losses of the aligner: functions of unit vectors, none of which knows a model. `models.aligner` imports them."""
