"""The tensors of a case, as flashbench saves them, for PyTorch."""

from safetensors.torch import load_file


def loaded(case, path, device):
    """The tensors of a file; V that lies in K is a view of it."""
    tensors = load_file(path, device=device)
    for name, values in (("k", "v"), ("k_pages", "v_pages")):
        if case["v_in_k"] and name in tensors:
            tensors[values] = tensors[name][..., : case["d_v"]]
    return tensors
