"""One page about a trained model, readable without a network (SPEC C35)."""
