"""What models compute on, and what it says when its memory runs out."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from jobsearch.errors import ModelError

# "CUDA out of memory. Tried to …", "DefaultCPUAllocator: can't allocate memory: you tried to …",
# on Windows "… not enough memory: you tried to …"; not "an illegal memory access".
_OUT_OF_MEMORY = re.compile("out of memory|(allocate|enough) memory", re.IGNORECASE)


def device_name() -> str:
    """The GPU that torch would use, or how many cores it uses without one."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"no GPU, {torch.get_num_threads()} cores"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, that of a GPU or any."""
    told = isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))
    return isinstance(error, MemoryError) or bool(told)


@contextmanager
def memory_errors(model: str) -> Iterator[None]:
    """Make torch's errors of memory that ran out ours.

    Raises:
        ModelError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"there is not enough memory for the model {model} ({device_name()}): end other "
            "programs that use it, ingest with fewer --workers, or take a smaller --model"
        ) from error
