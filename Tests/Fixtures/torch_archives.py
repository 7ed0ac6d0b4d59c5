"""Files of torch.save, and what is in them as safetensors."""

import collections
import io
import os
import struct
import zipfile

import torch
from safetensors.torch import load_file, save_file

from transformers import AutoModelForPreTraining


def tensors():
    """Every type; with strides, offsets, shared storages, and no elements."""
    generator = torch.Generator().manual_seed(21)
    matrix = torch.randn(5, 7, generator=generator)
    cube = torch.randn(3, 4, 6, generator=generator)
    result = {
        "matrix": matrix,
        "transposed": matrix.t(),
        "column": matrix[:, 3],
        "part": matrix[1:4, 2:6],
        "same": matrix,
        "permuted": cube.permute(2, 0, 1)[1:, :, ::2],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(4, generator=generator)),
        "one_row": matrix[:1].t(),
    }
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        result[str(dtype)] = matrix.to(dtype)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        result[str(dtype)] = torch.arange(1, 9).to(dtype)
    result["torch.bool"] = torch.tensor([True, False, True])
    return result


class Command:
    """What a pickle can do to whoever loads it."""

    def __reduce__(self):
        return os.system, ("echo this must not run >&2; exit 1",)


def rewrite(source, target, compression=zipfile.ZIP_STORED, extra=()):
    """The same members in another zip file."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for member in old.infolist():
            new.writestr(zipfile.ZipInfo(member.filename), old.read(member), compression)
        for name, content in extra:
            new.writestr(zipfile.ZipInfo(name), content)


def write_wide(source, target):
    """The same members with every size and position in 64 bits."""
    out, directory, count = io.BytesIO(), b"", 0
    with zipfile.ZipFile(source) as old:
        for member in old.infolist():
            name, content, start = member.filename.encode(), old.read(member), out.tell()
            count += 1
            common = struct.pack("<HHHHI", 0, 0, 0, 0, member.CRC) + struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF)
            sizes = struct.pack("<QQ", len(content), len(content))
            extra = struct.pack("<HH", 1, 16) + sizes
            out.write(b"PK\x03\x04" + struct.pack("<H", 45) + common + struct.pack("<HH", len(name), len(extra)))
            out.write(name + extra + content)
            # Another field in front, and the position behind the sizes.
            extra = struct.pack("<HHI", 0x9999, 4, 7) + struct.pack("<HH", 1, 24) + sizes + struct.pack("<Q", start)
            directory += b"PK\x01\x02" + struct.pack("<HH", 45, 45) + common
            directory += struct.pack("<HHHHHII", len(name), len(extra), 0, 0, 0, 0, 0xFFFFFFFF) + name + extra
    start = out.tell()
    out.write(directory)
    record = out.tell()
    out.write(b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), start))
    out.write(b"PK\x06\x07" + struct.pack("<IQI", 0, record, 1))
    out.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 5) + b"a zip")
    with open(target, "wb") as file:
        file.write(out.getvalue())


def write_torch_archives(models, peft, folder):
    os.makedirs(folder, exist_ok=True)
    path = lambda name: os.path.join(folder, name)
    values = tensors()
    torch.save(values, path("tensors.bin"))
    save_file({k: v.detach().clone().contiguous() for k, v in values.items()}, path("tensors.safetensors"))
    write_wide(path("tensors.bin"), path("wide.bin"))
    small = {"a": torch.arange(3.0)}
    torch.save({"epoch": 3, "model_state_dict": collections.OrderedDict(small)}, path("wrapped.bin"))
    torch.save(small, path("legacy.bin"), _use_new_zipfile_serialization=False)
    torch.save(small, path("protocol4.bin"), pickle_protocol=4)
    torch.save({"a": Command()}, path("command.bin"))
    torch.save([torch.zeros(2)], path("list.bin"))
    torch.save({"a": 1}, path("number.bin"))
    torch.save(small, path("small.bin"))
    rewrite(path("small.bin"), path("deflated.bin"), zipfile.ZIP_DEFLATED)
    rewrite(path("small.bin"), path("script.bin"), extra=[("small/constants.pkl", b"\x80\x02).")])
    # A model, an adapter of PEFT's, and the same as the LoRA authors' code saves it.
    bert = os.path.join(models, "tiny-bert")
    model = AutoModelForPreTraining.from_pretrained(bert)
    torch.save(model.state_dict(), path("pytorch_model.bin"))
    adapter = load_file(os.path.join(peft, "tiny-roberta-lora", "adapter", "adapter_model.safetensors"))
    torch.save(adapter, path("adapter_model.bin"))
    own = lambda name: name.removeprefix("base_model.model.").replace(".lora_A.weight", ".lora_A").replace(".lora_B.weight", ".lora_B")
    torch.save({own(name): value for name, value in adapter.items()}, path("loralib.bin"))
    # Their GPT-2's: queries and values of the fused layers.
    fused = {name: value for name, value in load_file("cases/gpt2-lora-fused.safetensors").items() if name.startswith("final.")}
    fused = {own(name.removeprefix("final.")): value for name, value in fused.items()}
    torch.save({"model_state_dict": fused}, path("loralib_fused.bin"))
