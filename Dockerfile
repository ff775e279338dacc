# saevit with torch for CPUs.
#   docker build -t saevit .
#   docker run --rm -v "$PWD:/work" saevit compare --plot compare.png
FROM python:3.13-slim

# --runtime compile needs a C++ compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

# On PyPI, torch for Linux is the CUDA build; torch and torchvision must come from one source.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.11" torchvision

COPY pyproject.toml README.md LICENSE /source/
COPY saevit /source/saevit
COPY saevit_cli /source/saevit_cli
RUN pip install --no-cache-dir "/source[export,train]" && rm -r /source

WORKDIR /work
# Any user may run the image (--user); runs are stored in the mounted folder.
ENV HOME=/tmp SAEVIT_STORE=/work/saevit-runs
ENTRYPOINT ["saevit"]
