"""The array type of embeddings."""

import numpy as np
import numpy.typing as npt

#: Embeddings, float32: (n, dim) with one row per title, or (dim,) for one title.
Vectors = npt.NDArray[np.float32]
