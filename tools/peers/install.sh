#!/bin/bash
# Makes build/peers, a Python environment with what `make bench` compares itself with: PyTorch and TRL, and
# llama.cpp compiled for this machine from the newest source that its Python package carries (a quarter of an
# hour on one core; needs cmake). OpenBLAS comes from tools/setup.sh. llm.c has no package: there is no row
# for it. For developers only.
set -e
cd "$(dirname "$0")/../.."
python3 -m venv build/peers
pip=build/peers/bin/pip
$pip install torch transformers trl datasets gguf numpy
CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" $pip install llama-cpp-python
$pip list 2>/dev/null | grep -E "^(torch|transformers|trl|llama_cpp_python) "
