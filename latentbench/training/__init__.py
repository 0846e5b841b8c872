"""Training: the one optimiser loop, its traced step, seeds in one stack."""
