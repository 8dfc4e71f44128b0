# The service, from the same hashed requirements as every other installation.
FROM python:3.11-slim

WORKDIR /app
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY solvers solvers
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --system --create-home margincert \
    && install -d -o margincert /data

USER margincert
ENV MARGINCERT_DATA_DIR=/data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz')"]
CMD ["margincert", "serve", "--host", "0.0.0.0"]
