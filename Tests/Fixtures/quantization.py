"""4-bit codes, statistics and dequantised values as bitsandbytes computes them on the CPU."""

import torch

from packed import write_fixture

TYPES = ("nf4", "fp4")


def middles(functional, quant_type):
    """Every middle between neighbouring values, with the numbers next to it; 1 makes absmax 1."""
    values = functional.get_4bit_type(quant_type, device="cpu").unique()
    middle = (values[:-1] + values[1:]) / 2
    up, down = torch.tensor(2.0), torch.tensor(-2.0)
    neighbours = [middle, torch.nextafter(middle, up), torch.nextafter(middle, down), values]
    return torch.cat([torch.ones(1), *neighbours, torch.tensor([-0.0, 1e-30, -1e-30])])


def inputs(functional):
    """Name -> float32 vector."""
    generator = torch.Generator().manual_seed(11)

    def normal(count, scale=0.05):
        return torch.randn(count, generator=generator) * scale

    result = {f"normal{count}": normal(count) for count in (1, 2, 31, 63, 64, 65, 127, 129, 1000)}
    result["matrix"] = normal(4096)
    result["zeros"] = torch.cat([torch.zeros(128), normal(64), torch.zeros(40)])
    result["denormal"] = torch.cat([normal(64, 1e-39), normal(64, 1e-43), normal(64, 3e-38), normal(30, 1e-41)])
    result["huge"] = torch.cat([normal(64, 3e37), normal(64, 5e37), normal(21, 3e37)])
    result["mixed"] = normal(520) * torch.logspace(-30, 30, 520)
    result["one_large"] = torch.cat([torch.full((63,), 1e-3), torch.tensor([1e4]), normal(64)])
    for quant_type in TYPES:
        result[f"ties_{quant_type}"] = middles(functional, quant_type)
    return result


# (suffix of the name, block size, double quantisation)
SETTINGS = (("b64", 64, False), ("b64d", 64, True), ("b128d", 128, True), ("b256", 256, False))


def write_quantization(path):
    import bitsandbytes
    import bitsandbytes.functional as functional

    tensors = {"dynamic_map": functional.create_dynamic_map()}
    for name, x in inputs(functional).items():
        tensors[f"{name}.x"] = x
        for quant_type in TYPES:
            for suffix, blocksize, nested in SETTINGS:
                record(tensors, f"{name}.{quant_type}.{suffix}", functional, x, quant_type, blocksize, nested)
    # Enough statistics for several blocks of them, and for all levels of the mean's summation. 64 elements of a block are
    # made of two numbers: s, and its largest.
    generator = torch.Generator().manual_seed(12)
    for count in (300, 1041, 9216):
        largest = torch.rand(count, generator=generator) * 0.2 + 0.01
        tensors[f"statistics{count}.x"] = largest
        x = torch.zeros(count, 64)
        x[:, 5] = largest
        record(tensors, f"statistics{count}.nf4.b64d", functional, x.flatten(), "nf4", 64, True, values=False)
        del tensors[f"statistics{count}.nf4.b64d.codes"]
    write_fixture(path, tensors, {"bitsandbytes": bitsandbytes.__version__, "torch": torch.__version__})


# The plain functions, not what a compiler makes of them.
@torch.compiler.set_stance("force_eager")
def record(tensors, key, functional, x, quant_type, blocksize, nested, values=True):
    codes, state = functional.quantize_4bit(
        x, blocksize=blocksize, quant_type=quant_type, compress_statistics=nested
    )
    tensors[f"{key}.codes"] = codes.flatten()
    tensors[f"{key}.absmax"] = state.absmax
    if nested:
        tensors[f"{key}.nested_absmax"] = state.state2.absmax
        tensors[f"{key}.nested_offset"] = state.offset.reshape(1)
    if values:
        tensors[f"{key}.y"] = functional.dequantize_4bit(codes, state).flatten()
