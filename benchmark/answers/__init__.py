"""Scores of answers that exist already: THRONE, POPE, AMBER, and detection against people's flags."""
