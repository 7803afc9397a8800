# sensverify on the CPU, with all of its parts:
#
#   docker build -t sensverify .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" sensverify verify net.onnx --data x.npz

# The Python that the versions in .ci/constraints.txt are tested with.
FROM python:3.11-slim AS build
COPY .ci/build_backend.py /source/.ci/
COPY LICENSE MANIFEST.in NOTICE README.md pyproject.toml /source/
COPY models /source/models
COPY sensverify /source/sensverify
COPY solvers /source/solvers
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:3.11-slim
COPY .ci/constraints.txt /wheels/
# First, since the package index serves a build for CUDA.
RUN pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(echo /wheels/*.whl)[all]" \
    && pip install --no-cache-dir -c /wheels/constraints.txt --no-deps imagecorruptions-imaug
# For whoever runs it under a number of their own, who has no home in it.
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["sensverify"]
