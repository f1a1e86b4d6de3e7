"""The application that uvicorn runs, in an environment of its own."""

import os

import joblib
import numpy as np
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.environ["MODEL"])
app = FastAPI()


class Numbers(BaseModel):
    rows: list[list[float]]


class Customer(BaseModel):
    age: float | None
    income: float | None
    balance: float
    tenure_months: int
    visits: float
    score: float
    plan: str
    region: str
    channel: str
    device: str


class Customers(BaseModel):
    rows: list[Customer]


class Answer(BaseModel):
    predictions: list[int]


@app.post("/predict")
def predict(request: Numbers) -> Answer:
    return Answer(predictions=model.predict(np.array(request.rows)).tolist())


@app.post("/predict/customers")
def predict_customers(request: Customers) -> Answer:
    frame = pd.DataFrame([customer.model_dump() for customer in request.rows])
    return Answer(predictions=model.predict(frame).tolist())
