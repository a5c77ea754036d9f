"""Predictions from a trained model: `Predictor.load(checkpoint, data_dir).predict(Request(...))` (SPEC C36)."""

from retailsim.predict.predictor import Predictor
from retailsim.predict.request import Prediction, Request, Suggestion

__all__ = ["Prediction", "Predictor", "Request", "Suggestion"]
