"""What takes the place of self-attention in a block, to be compared with it: a registry of names, one file each."""

from vitrail.rivals.fully_connected import FullyConnected
from vitrail.rivals.recurrent import GRU, LSTM
from vitrail.rivals.rival import Rival

RIVALS: dict[str, type[Rival]] = {"fc": FullyConnected, "lstm": LSTM, "gru": GRU}

__all__ = ["RIVALS", "Rival"]
