"""RetailSim: a world model of how people shop, from raw receipts to evaluated predictions."""
