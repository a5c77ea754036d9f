"""A trained model as a function of requests (SPEC C36).

Legend: R requests · V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from retailsim.artifacts import CACHE, CALENDAR, CUSTOMER_CACHE, CUSTOMER_EMBEDDINGS, STORE_FEATURES, VOCABULARY
from retailsim.config import Config
from retailsim.errors import UserError
from retailsim.evaluation.ranking import excluded_ids
from retailsim.labels import TRIP_LABELS, UNKNOWN
from retailsim.manifest import refuse_remade
from retailsim.model.basket_model import BasketModel
from retailsim.model.batch import Batch
from retailsim.model.next_product import shown_to
from retailsim.model.world_model import parameter_count
from retailsim.predict.lookup import People, Places
from retailsim.predict.request import Prediction, Request, Suggestion
from retailsim.predict.seats import Seat, as_samples, basket_of, week_of
from retailsim.predict.trips import is_open, learned_sets
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.training import checkpoint as checkpoints
from retailsim.training.dataset import make_batch
from retailsim.training.device import choose_device
from retailsim.training.made_from import model_of
from retailsim.training.masking import Masking
from retailsim.training.purchases import PurchaseHistories, load_purchase_histories
from retailsim.training.tables import load_tables
from retailsim.training.temperature import kept_temperatures
from retailsim.vocab import Vocabulary
from retailsim.weeks import Calendar

TOGETHER = 512  # requests that are computed at once: more take memory and are no faster


class Predictor:
    """A model, and what is known of customers, stores and prices before each week of the data.

    Nothing is changed by a prediction, so one predictor may serve many threads. The same request gets the same answer,
    alone or among others.

    Args:
        model: with the tables that it looks up.
        vocabulary: of the model.
        calendar: of the data.
        people: customers.
        places: stores.
        histories: what customers and stores bought before each week.
        temperatures: by temperature.KINDS, fitted on the validation weeks; None: answers are scores.
        names: product id → name.
        in_part: whether the model was trained on trips told in part, too.

    Example:
        >>> predictor = Predictor.load(Path("checkpoints/best_model.pt"), Path("data"))  # doctest: +SKIP
        >>> answer = predictor.predict(Request(datetime(2008, 3, 15, 10), store="STORE00001", customer="CUST0000001"))  # doctest: +SKIP
        >>> answer.suggestions[0].product, answer.suggestions[0].probability  # doctest: +SKIP
    """

    def __init__(
        self,
        model: BasketModel,
        vocabulary: Vocabulary,
        calendar: Calendar,
        people: People,
        places: Places,
        histories: PurchaseHistories,
        temperatures: Mapping[str, float] | None = None,
        names: Mapping[str, str] | None = None,
        in_part: bool = False,
    ) -> None:
        self.vocabulary, self.calendar, self.temperatures = vocabulary, calendar, temperatures
        self._model, self._people, self._places, self._names = model.eval(), people, places, names or {}
        self._histories = histories
        self._learned = learned_sets(histories.customers, calendar.train_end, in_part)
        self._device = next(model.parameters()).device
        self._last_price = model.lookup.last_price.cpu().numpy()

    @classmethod
    def load(
        cls,
        checkpoint: Path,
        data_dir: Path = Path("data"),
        device: Literal["auto", "cuda", "mps", "cpu"] = "cpu",
        names: Mapping[str, str] | None = None,
    ) -> "Predictor":
        """The predictor of a checkpoint on the data that it was trained on.

        Probabilities are calibrated where `evaluate` has fitted this checkpoint's temperatures on the validation weeks.

        Args:
            checkpoint: e.g. checkpoints/best_model.pt.
            data_dir: root of what the stages wrote.
            device: where the model runs.
            names: product id → name, for the answers.

        Raises:
            UserError: a file is missing or damaged, or the checkpoint belongs to other data.
        """
        vocabulary = load_vocabulary(data_dir)
        state = checkpoints.load(checkpoint, vocabulary)
        tables = load_tables(data_dir)
        model = model_of(checkpoint, state, tables, vocabulary).to(choose_device(device))
        # People and places are found by the rows of these tables, and looked up by them in the cache.
        refuse_remade(CUSTOMER_CACHE, CACHE, data_dir, CUSTOMER_EMBEDDINGS, STORE_FEATURES, CALENDAR, VOCABULARY)
        places = Places(data_dir, tables.store.numpy())
        histories = load_purchase_histories(data_dir, vocabulary.size)
        calendar, temperatures = load_calendar(data_dir), kept_temperatures(checkpoint, data_dir)
        in_part = Config.from_json(state["config"]).train.part_trip_prob > 0
        return cls(model, vocabulary, calendar, People(data_dir), places, histories, temperatures, names, in_part)

    @property
    def model(self) -> BasketModel:
        """The model, with the tables that it looks up."""
        return self._model

    @property
    def parameter_count(self) -> int:
        """How many numbers the model has learned."""
        return parameter_count(self._model)

    @property
    def trips_learned(self) -> list[list[str]]:
        """The sets of labels that tell the kind of a trip; with any other it is left open."""
        return sorted([label for label in TRIP_LABELS if label in told] for told in self._learned)

    @property
    def stores(self) -> list[str]:
        """The stores of the data."""
        return self._places.histories.names.tolist()

    @property
    def customers(self) -> list[str]:
        """The customers of the data."""
        return self._people.histories.names.tolist()

    def predict(self, request: Request, top: int = 20, allow_unknown: bool = False) -> Prediction:
        """The `top` likeliest next products of one request; see `predict_many`."""
        return self.predict_many([request], top, allow_unknown)[0]

    def predict_many(self, requests: Sequence[Request], top: int = 20, allow_unknown: bool = False) -> list[Prediction]:
        """The `top` likeliest next products of each request.

        Args:
            requests: any number; they are computed TOGETHER at a time.
            top: products per answer.
            allow_unknown: a customer or store that the data does not know is taken as anonymous or average, with a note.

        Raises:
            UserError: a customer, store or product is unknown, or the time lies outside what the data can tell about.
        """
        return self.answer([self.look_up(request, allow_unknown) for request in requests], top)

    def look_up(self, request: Request, allow_unknown: bool = False) -> Seat:
        """What is known of a request's customer, store and basket; raises as `predict_many` does."""
        week = week_of(request, self.calendar)
        return Seat(
            request,
            week,
            self._people.find(request, week, allow_unknown),
            self._places.find(request, week, allow_unknown),
            basket_of(request, week, self.vocabulary, self._last_price),
            request.when.hour if self.calendar.hours_known else UNKNOWN,
            is_open(request.trip, self._learned),
        )

    @torch.no_grad()
    def answer(self, seats: Sequence[Seat], top: int = 20) -> list[Prediction]:
        """The `top` likeliest next products of requests that were looked up."""
        if top < 1:
            raise UserError(f"--top {top} asks for nothing: give 1 or more")
        pieces = (seats[i : i + TOGETHER] for i in range(0, len(seats), TOGETHER))
        return [answer for piece in pieces for answer in self._suggest(piece, top)]

    def arrays(self, requests: Sequence[Request], allow_unknown: bool = False) -> dict[str, np.ndarray]:
        """What an exported program takes for these requests, by the names of its inputs (docs/export.md).

        Args:
            requests: any number.
            allow_unknown: as in `predict_many`.

        Raises:
            UserError: as `predict_many` does.
        """
        inputs = shown_to(self._model, self._batch([self.look_up(request, allow_unknown) for request in requests]))
        return {name: tensor.cpu().numpy() for name, tensor in inputs.items()}

    def _batch(self, seats: Sequence[Seat]) -> Batch:
        """The seats as open baskets. Labels of a trip that is left open still choose among the customer's earlier trips."""
        masking = Masking(self.vocabulary.size, hide_trip_prob=0.0, is_evaluation=True, open_share=1.0)
        samples = as_samples(seats, self.calendar, self._histories)
        if self._model.history is None:
            samples = samples.without_histories()
        batch = make_batch(samples, np.arange(len(seats)), masking)
        described = torch.tensor([seat.person.row for seat in seats], dtype=torch.int64)  # only T1 is looked up by it
        hidden = torch.tensor([seat.trip_is_open for seat in seats], dtype=torch.bool)
        return replace(batch, customer=described, hide_trip=hidden).to(self._device)

    def _temperature(self, trip_is_open: bool) -> float | None:
        return (
            self.temperatures["open_trip_unknown" if trip_is_open else "open_trip_known"] if self.temperatures else None
        )

    def _suggest(self, seats: Sequence[Seat], top: int) -> list[Prediction]:
        """The likeliest products at the hidden place of each seat; special tokens and the basket's own compete nowhere."""
        batch, temperatures = self._batch(seats), [self._temperature(seat.trip_is_open) for seat in seats]
        by = torch.tensor([temperature or 1.0 for temperature in temperatures], device=self._device)
        logits = self._model(batch).product_logits.float() / by[:, None]  # [R, V]
        logits = logits.masked_fill(excluded_ids(batch.ids, self.vocabulary.size), -torch.inf)
        chances = logits.softmax(dim=1).masked_fill(self._left_out(seats), 0.0)
        best = chances.topk(min(top, self.vocabulary.size), dim=1)
        found = zip(seats, best.indices.tolist(), best.values.tolist(), temperatures, strict=True)
        return [
            Prediction(seat.week, self._named(rows, p), seat.notes, temperature) for seat, rows, p, temperature in found
        ]

    def _named(self, rows: Sequence[int], chances: Sequence[float]) -> tuple[Suggestion, ...]:
        ids, names = self.vocabulary.ids, self._names
        return tuple(
            Suggestion(ids[row], names.get(ids[row]), p) for row, p in zip(rows, chances, strict=True) if p > 0
        )

    def _left_out(self, seats: Sequence[Seat]) -> Tensor:
        """What the customers of requests for novel products bought before, bool [R, V]."""
        numbers = np.array([i for i, seat in enumerate(seats) if seat.request.novel], dtype=np.int64)
        rows = np.array([seats[i].person.bought_row for i in numbers], dtype=np.int64)
        owner, _, product, *_ = self._histories.customers.before(rows)
        bought = torch.zeros(len(seats), self.vocabulary.size, dtype=torch.bool)
        bought[numbers[owner], product] = True
        return bought.to(self._device)
