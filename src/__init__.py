"""The founding document's spelling: `python -m src.training.train` runs `retailsim/training/train.py`."""

import retailsim

__path__ = retailsim.__path__
