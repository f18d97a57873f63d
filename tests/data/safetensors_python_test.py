"""Opens files that flashbench wrote with the public `safetensors` package and checks every element.

    python safetensors_python_test.py F32_BHSD_FILE BF16_BSHD_FILE

The elements of each tensor count up in [b, h, row, d] order (python_test.cc writes them so).
Exits with 77 where the packages are not installed, 1 where anything is wrong.
"""

import sys

try:
    import numpy as np
    from safetensors import deserialize, safe_open
    from safetensors.numpy import load_file
except ImportError as missing:
    print(missing)
    sys.exit(77)

B, H, H_KV, Q_LEN, KV_LEN, D = 1, 4, 2, 3, 5, 2
SHAPES = {
    "o": (B, H, Q_LEN, D),
    "lse": (B, H, Q_LEN),
    "dq": (B, H, Q_LEN, D),
    "dk": (B, H_KV, KV_LEN, D),
    "dv": (B, H_KV, KV_LEN, D),
}


def counting(name):
    shape = SHAPES[name]
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def bf16_values(data, shape):
    bits = np.frombuffer(bytes(data), dtype="<u2").astype(np.uint32)
    return (bits << 16).view(np.float32).reshape(shape)


def check_f32(path):
    tensors = load_file(path)
    assert set(tensors) == set(SHAPES), set(tensors)
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32, (name, tensor.dtype)
        np.testing.assert_array_equal(tensor, counting(name), err_msg=name)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["producer"] == "flashbench", metadata
    assert "--q_len 3" in metadata["workload"], metadata


def check_bf16_bshd(path):
    with open(path, "rb") as file:
        tensors = dict(deserialize(file.read()))
    assert set(tensors) == set(SHAPES), set(tensors)
    for name, tensor in tensors.items():
        wanted = counting(name).swapaxes(1, 2)  # [b, row, h, d]
        assert tuple(tensor["shape"]) == wanted.shape, (name, tensor["shape"])
        assert tensor["dtype"] == ("F32" if name == "lse" else "BF16"), (name, tensor["dtype"])
        if name == "lse":
            got = np.frombuffer(bytes(tensor["data"]), dtype="<f4").reshape(wanted.shape)
        else:
            got = bf16_values(tensor["data"], wanted.shape)
        np.testing.assert_array_equal(got, wanted, err_msg=name)


if __name__ == "__main__":
    check_f32(sys.argv[1])
    check_bf16_bshd(sys.argv[2])
    print("ok")
