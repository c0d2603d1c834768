#!/usr/bin/env python3
"""Writes tests/golden/gguf/types.gguf and types.safetensors, and the seeds of tests/corpus/gguf.

types.gguf holds one tensor of random blocks of every type that is read, made by the gguf package (the
package of llama.cpp, PyPI: gguf); types.safetensors holds what that package's NumPy dequantisers give for
them, and for F16, BF16 and Q8_0 the bytes that its quantisers give for the tensor "source".
"""
import pathlib

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
READ = [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q4_K, T.Q5_K, T.Q6_K]
# Where the half-precision scales of a block lie.
SCALES = {T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}


def random_blocks(rng, kind, rows, columns):
    """Bytes of a tensor [rows, columns]: anything, but for finite scales."""
    block, size = GGML_QUANT_SIZES[kind]
    if kind in (T.F32, T.F16):
        values = rng.standard_normal((rows, columns)) * 10.0 ** rng.integers(-6, 4, (rows, columns))
        return values.astype(np.float32 if kind == T.F32 else np.float16).view(np.uint8)
    if kind == T.BF16:
        return quantize(rng.standard_normal((rows, columns)).astype(np.float32), T.BF16)
    data = rng.integers(0, 256, (rows * columns // block, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = (rng.standard_normal(len(data)) * 0.05).astype(np.float16)
        data[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return data.reshape(rows, -1)


def source(rng):
    """Numbers that test rounding: ties, subnormal halves, zeros, a block whose scale vanishes."""
    x = rng.standard_normal((8, 64)).astype(np.float32)
    x[1] *= 1e-5
    x[2] = 0
    x[3] = np.arange(64) / 2048 + 1
    x[4] *= 1e-9
    x[5, :8] = [65504, -65504, 2.0**-24, 2.0**-25, 3 * 2.0**-25, -0.0, 2.0**-14, 1 + 2.0**-11]
    return x


def main():
    golden, corpus = ROOT / "tests/golden/gguf", ROOT / "tests/corpus/gguf"
    rng = np.random.default_rng(1)
    expected = {}
    writer = gguf.GGUFWriter(golden / "types.gguf", "none")
    writer.add_uint64("test.large", 2**63)
    writer.add_int8("test.minus", -3)
    writer.add_float64("test.real", 0.1)
    writer.add_array("test.texts", ["a", "", "\u00e9\U0001f600"])
    writer.add_array("test.numbers", [1, -2, 3])
    for kind in READ:
        data = random_blocks(rng, kind, 2, 512 if GGML_QUANT_SIZES[kind][0] == 256 else 64)
        if kind in (T.F32, T.F16):  # the writer takes these by their NumPy type
            data = np.ascontiguousarray(data).view(np.float32 if kind == T.F32 else np.float16)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = np.ascontiguousarray(dequantize(data, kind), dtype=np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    x = expected["source"] = source(rng)
    expected["encoded F16"] = x.astype(np.float16).view(np.uint8)
    for kind in (T.BF16, T.Q8_0):
        expected[f"encoded {kind.name}"] = np.ascontiguousarray(quantize(x, kind)).view(np.uint8)
    save_file(expected, golden / "types.safetensors")

    types = (golden / "types.gguf").read_bytes()
    one = types[:4] + (3).to_bytes(4, "little")
    (corpus / "types").write_bytes(types)
    (corpus / "cut").write_bytes(types[:-1])
    (corpus / "empty").write_bytes(one + bytes(16))
    (corpus / "version").write_bytes(types[:4] + (1).to_bytes(4, "little") + types[8:])
    (corpus / "many_keys").write_bytes(one + bytes(8) + b"\xff" * 8)
    key = (1).to_bytes(8, "little") + b"k"
    array = (9).to_bytes(4, "little") + (8).to_bytes(4, "little") + b"\xff" * 7 + b"\x1f"
    (corpus / "long_array").write_bytes(one + bytes(8) + (1).to_bytes(8, "little") + key + array)
    nested = (9).to_bytes(4, "little") * 2 + (1).to_bytes(8, "little")
    (corpus / "nested_array").write_bytes(one + bytes(8) + (1).to_bytes(8, "little") + key + nested)


if __name__ == "__main__":
    main()
