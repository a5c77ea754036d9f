"""The six tensors T1–T6: their layouts and their builders."""
