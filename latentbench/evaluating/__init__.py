"""Evaluating models that were trained elsewhere: what was handed over, how it is called, what it gives back."""
