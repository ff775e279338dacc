# saevit in a container.
#   docker build -t saevit .
#   docker run --rm -v "$PWD:/data" saevit compare --plot compare.png
FROM python:3.13-slim

# --runtime compile needs a C++ compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

# Arguments of pip for torch and torchvision, which must come from one source. The default is the CUDA build, of several
# GB; for the CPU build, pass the options that pytorch.org shows: --build-arg TORCH_OPTIONS="...".
ARG TORCH_OPTIONS=""
RUN pip install --no-cache-dir $TORCH_OPTIONS "torch>=2.11" torchvision

COPY pyproject.toml README.md LICENSE /source/
COPY saevit /source/saevit
COPY saevit_cli /source/saevit_cli
RUN pip install --no-cache-dir "/source[export,train]" && rm -r /source

WORKDIR /data
# Any user may run the image (--user); runs are stored in the mounted folder.
ENV HOME=/tmp SAEVIT_STORE=/data/saevit-runs
ENTRYPOINT ["saevit"]
