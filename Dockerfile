# One image for every part: `service`, `fold`, `monitor`, `retrain` are commands of its entry point.
#   docker build -t evenkeel .
#   docker run --rm --user "$(id -u)" -v "$PWD/bikes:/project" evenkeel keys create --scope predict
#   docker run --rm --user "$(id -u)" -v "$PWD/bikes:/project" -p 3000:3000 -p 3001:3001 evenkeel up
# Inside a container the servers must listen on every address; the variables below say so, and can be overridden.

FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/evenkeel
COPY requirements.lock requirements-build.lock ./
RUN /opt/evenkeel/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock \
    && python -m venv /opt/tools \
    && /opt/tools/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md ./
COPY service service
COPY monitoring monitoring
COPY retrain retrain
COPY lifecycle lifecycle
COPY evenkeel evenkeel
RUN /opt/tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/evenkeel/bin/pip install --no-cache-dir --no-deps dist/*.whl \
    && /opt/evenkeel/bin/pip check

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin evenkeel \
    && install --directory --owner evenkeel --group evenkeel /project
COPY --from=build /opt/evenkeel /opt/evenkeel
ENV PATH=/opt/evenkeel/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EVENKEEL_SERVICE__HOST=0.0.0.0 \
    EVENKEEL_MONITORING__HOST=0.0.0.0
USER 10001
WORKDIR /project
EXPOSE 3000 3001
ENTRYPOINT ["evenkeel"]
CMD ["--help"]
