"""Answers to MMHal-Bench, scored from files: rated by a language model, or by the replies of the released program's."""
