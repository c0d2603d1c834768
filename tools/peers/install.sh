#!/bin/bash
# Makes build/peers, a Python environment with what `make bench` compares grpo with, all of it from PyPI:
# PyTorch (whose package brings libraries for GPUs: 6 GB in all), TRL, and llama.cpp from the newest source
# that its Python package carries, compiled for this machine (nine minutes of one core for everything). Needs
# python3-venv and a C++ compiler. llm.c has no package: GRPO_LLMC=DIR names its source
# (tools/peers/peer_llmc.py). OpenBLAS and oneDNN come from tools/setup.sh. For developers only.
set -e
cd "$(dirname "$0")/../.."
python3 -m venv build/peers
pip=build/peers/bin/pip
$pip install torch transformers trl datasets gguf numpy
CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" $pip install llama-cpp-python
$pip list 2>/dev/null | grep -E "^(torch|transformers|trl|llama_cpp_python) "
