"""Everybody who takes part, in the order of the tables."""

from benchmarks.serving.entrants import Entrant
from benchmarks.serving.ours import entrants as ours
from benchmarks.serving.peers.bentoml import peer as bentoml
from benchmarks.serving.peers.empty import peer as empty
from benchmarks.serving.peers.fastapi import peer as fastapi
from benchmarks.serving.peers.litserve import peer as litserve
from benchmarks.serving.peers.mlflow import peer as mlflow
from benchmarks.serving.peers.mlserver import peer as mlserver

OURS = (ours.ENTRANT, ours.ARROW_ENTRANT, ours.WITHOUT_LOG)
PEERS = (bentoml.ENTRANT, fastapi.ENTRANT, litserve.ENTRANT, mlflow.ENTRANT, mlserver.ENTRANT)
LIMIT = empty.ENTRANT
ALL: tuple[Entrant, ...] = (*OURS, *PEERS, LIMIT)
