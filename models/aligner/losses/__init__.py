"""The losses of the aligner: functions of unit vectors that know no model. `models.aligner` imports them."""
