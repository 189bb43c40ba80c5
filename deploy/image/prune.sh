#!/bin/sh
# Takes out of an installation what no process needs at run time. In: the folder of its packages. `try.sh` serves
# from the result.
set -eu
site=$1
cd "$site"
# Sources and headers of what is compiled, and tests.
find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.cpp' -o -name '*.cc' -o -name '*.hpp' -o -name '*.pyi' \) -delete
find . -type d \( -name tests -o -name test \) -not -path '*/cel_expr_python/*' -prune -exec rm -rf {} +
rm -rf numpy/_core/include numpy/_core/lib thinc/backends/*.h
# Tools that make models, and names of regions behind telephone numbers.
rm -rf onnxruntime/transformers onnxruntime/tools onnxruntime/quantization onnxruntime/datasets
rm -rf phonenumbers/geodata phonenumbers/carrierdata phonenumbers/tzdata
# Downloads of models, which never happen.
rm -rf hf_xet
# What the build of CEL's wheel left in it; no module can have this name.
rm -rf bazel-project
# Symbols for debuggers.
command -v strip >/dev/null || echo "strip is missing (Debian: binutils), so symbols for debuggers stay" >&2
find . -name '*.so*' -type f -not -path './numpy.libs/*' -exec strip --strip-unneeded {} + 2>/dev/null || true
