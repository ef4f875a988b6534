"""The type of all embeddings."""

import numpy as np
import numpy.typing as npt

#: Embeddings, float32: (n, dim), a row a title; or (dim,), of one title.
Vectors = npt.NDArray[np.float32]
