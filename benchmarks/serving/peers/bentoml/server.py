"""The service that `bentoml serve` runs, in an environment of its own."""

import os

import bentoml
import joblib
import numpy as np
import pandas as pd


@bentoml.service(workers=int(os.environ.get("WORKERS", "1")), logging={"access": {"enabled": False}})
class Classifier:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML's decorators have no types
    def predict(self, input_data: np.ndarray) -> np.ndarray:
        answer: np.ndarray = self.model.predict(input_data)
        return answer

    @bentoml.api  # type: ignore[untyped-decorator]  # the same
    def predict_frame(self, input_data: pd.DataFrame) -> np.ndarray:
        answer: np.ndarray = self.model.predict(input_data)
        return answer
