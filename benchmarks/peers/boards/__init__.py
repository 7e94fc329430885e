"""The dashboards that benchmarks/dashboard.py measures: one module each, all fed with the same runs."""

from benchmarks.peers.boards.babysit_board import BabysitBoard
from benchmarks.peers.boards.board import Board
from benchmarks.peers.boards.optuna_board import OptunaBoard
from benchmarks.peers.boards.tensorboard_board import TensorBoardBoard

BOARDS: dict[str, Board] = {
    "babysit": BabysitBoard(),
    "tensorboard": TensorBoardBoard(),
    "optuna": OptunaBoard(),
}
"""By a short name, ours first."""
