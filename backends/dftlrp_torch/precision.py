"""What torch may round products to: autocast, and TF32 or bfloat16 for those of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

AMPERE = (8, 0)  # the first NVIDIA devices that have TF32
NAMES = {"tf32": "TF32", "bf16": "bfloat16"}


def tell_rounding(device: str, dtype: np.dtype[Any]) -> str:
    """Return what products in a dtype may be rounded to now on a device; empty if to nothing."""
    kind = torch.device(device).type
    if dtype == np.float64:
        return ""
    if torch.is_autocast_enabled(kind):
        taken = str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
        return "" if taken == dtype.name else f"autocast to {taken} in products"
    if dtype != np.float32 or (kind == "cuda" and not _has_tf32(device)):
        return ""
    read = {"cuda": _read_cuda, "cpu": _read_cpu}.get(kind)
    found = {} if read is None else {where: NAMES.get(name) for where, name in read().items()}
    return ", ".join(f"{name} in {where}" for where, name in found.items() if name)


def _has_tf32(device: str) -> bool:
    return torch.cuda.get_device_capability(device) >= AMPERE


def _read_cuda() -> dict[str, str]:
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    if not hasattr(matmul, "fp32_precision"):  # before torch 2.9
        return {
            "matrix products": "tf32" * matmul.allow_tf32,
            "convolutions": "tf32" * cudnn.allow_tf32,
        }
    return {"matrix products": matmul.fp32_precision, "convolutions": cudnn.conv.fp32_precision}


def _read_cpu() -> dict[str, str]:
    mkldnn: Any = torch.backends.mkldnn
    if not hasattr(mkldnn, "matmul"):
        medium = torch.get_float32_matmul_precision() == "medium"
        return {"matrix products": "bf16" * medium}
    return {
        "matrix products": mkldnn.matmul.fp32_precision,
        "convolutions": mkldnn.conv.fp32_precision,
    }
