"""What models compute on."""


def device_name() -> str:
    """The GPU that torch would use, or how many cores it uses without one."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"no GPU, {torch.get_num_threads()} cores"
