"""Pseudo-brands, Fourier price features, product embeddings, customer histories, store features."""
