"""Independent acceptance tests: the prover may be weak, never wrong."""
