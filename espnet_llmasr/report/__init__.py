"""One HTML page of an experiment: stages, swaps, encoders, error rates, examples with audio."""
