"""Products with the exact Fisher of a batch, among the weights and among the errors at the outputs."""
