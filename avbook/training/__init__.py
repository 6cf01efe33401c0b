"""Training of any method: the loop, checkpoints, batches, weights and devices."""
