"""Samples, cache, batches, the training loop and the evaluation command."""
