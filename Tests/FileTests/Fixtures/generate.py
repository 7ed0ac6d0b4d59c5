"""Writes reference.safetensors with the reference library (safetensors 0.8.0, numpy 2.4.6)."""
import os
import numpy as np
from safetensors.numpy import save_file

tensors = {
    "embeddings.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
    "b.double": np.array([1.5, -2.5], dtype=np.float64),
    "half": np.array([[0.5], [-1.0], [65504.0]], dtype=np.float16),
    "position_ids": np.arange(4, dtype=np.int64).reshape(1, 4),
    "i32": np.array([-1, 2**31 - 1], dtype=np.int32),
    "i16": np.array([-1, 7, 9], dtype=np.int16),
    "i8": np.array([-128, 127], dtype=np.int8),
    "u8": np.array([0, 255, 3], dtype=np.uint8),
    "mask": np.array([True, False, True]),
    "scalar": np.array(3.25, dtype=np.float32),
    "empty": np.zeros((0, 5), dtype=np.float32),
    "größe \"x\"": np.array([1.0], dtype=np.float32),
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference.safetensors")
save_file(tensors, path, metadata={"format": "pt"})
