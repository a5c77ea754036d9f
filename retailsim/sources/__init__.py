"""Where transactions come from: engine, schema, reading, sampling, and the synthetic retailer."""
