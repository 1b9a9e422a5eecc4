# SPDX-License-Identifier: Apache-2.0
# CPU:  docker build -t monai_cl_ext .
# GPU:  docker build -t monai_cl_ext --build-arg TORCH_INDEX=https://pypi.org/simple .   (plain PyPI has torch for CUDA)
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=study,report
WORKDIR /opt/monai_cl_ext
RUN pip install --no-cache-dir torch==2.13.0 --index-url ${TORCH_INDEX}
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE LICENSE-CC-BY-SA-4.0 ./
COPY monai_cl_ext monai_cl_ext
RUN pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]"
WORKDIR /work
ENTRYPOINT ["python", "-m", "monai_cl_ext"]
CMD ["--help"]
