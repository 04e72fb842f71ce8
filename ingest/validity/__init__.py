"""Signal validity: which short signals predict that people come back."""
