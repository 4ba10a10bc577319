"""What the passes of a model tell: inputs, outputs, errors and weights of the rows of each layer."""
