# MLflow's server of the version that the tests run against, with what it takes to keep artifacts in S3.
FROM python:3.12-slim-bookworm
RUN pip install --no-cache-dir mlflow==3.17.2 boto3==1.44.8 \
  && useradd --system --create-home --uid 10003 mlflow \
  # A new volume takes its owner from here.
  && install -d -o mlflow -g mlflow /var/lib/mlflow
USER mlflow
VOLUME /var/lib/mlflow
ENTRYPOINT ["mlflow"]
