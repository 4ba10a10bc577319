"""The layers NGD preconditions: each is a matrix that acts on rows, a bias being its last column.

    output rows = [input rows, 1] Wᵀ

One file a layer type, one contract (`Layer`). A linear layer acts on the last axis of its input `[M, …, m]`, a
convolution on the patch of `[M, c, …]` that each position of its output sees. Rows have one layout everywhere,
`[M·T, m]`: the T positions of the first example, then those of the second; they share the weights. A convolution in
g groups is g such matrices, each with channels of its own; they are the leading axis of everything made for this
layer, `[g, M·T, m]`.

A new type is a `Layer` in a file of its own and its name in `find.TYPES`.
"""

from .find import labels, trainable_layers, uncompiled
from .homogeneous import homogeneous, second_moment
from .layer import Layer

__all__ = ["Layer", "homogeneous", "labels", "second_moment", "trainable_layers", "uncompiled"]
