"""The server that LitServe's documentation starts as a script, in an environment of its own."""

import os
from typing import Any

import joblib
import litserve  # type: ignore[import-not-found]  # it is in its own environment alone
import numpy as np
import pandas as pd


class Classifier(litserve.LitAPI):  # type: ignore[misc]  # unknown here, as above
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe gives it by name
        self.model = joblib.load(os.environ["MODEL"])

    def decode_request(self, request: dict[str, list[Any]]) -> Any:
        rows = request["input"]
        return pd.DataFrame(rows) if isinstance(rows[0], dict) else np.array(rows)

    def predict(self, x: Any) -> Any:
        return self.model.predict(x)

    def encode_response(self, output: Any) -> dict[str, list[int]]:
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=int(os.environ["WORKERS"]))
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", generate_client_file=False)
