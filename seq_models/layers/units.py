"""The recurrent units by name: the one table that networks, the command line and the tests choose from."""

from seq_models.layers.gru import GRU
from seq_models.layers.lstm import LSTM
from seq_models.layers.recurrent import Recurrent
from seq_models.layers.simple_rnn import SimpleRNN

UNITS: dict[str, type[Recurrent]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
