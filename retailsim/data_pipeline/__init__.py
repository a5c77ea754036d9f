"""Raw transactions become prices, a product graph, store affinity and missions."""
