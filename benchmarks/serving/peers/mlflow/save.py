"""Saves a joblib file as an MLflow model: `save.py ARTEFACT FOLDER`, run in MLflow's own environment."""

import sys

import joblib
import mlflow.sklearn

artefact, folder = sys.argv[1:]
mlflow.sklearn.save_model(joblib.load(artefact), folder, serialization_format="cloudpickle", pip_requirements=[])
