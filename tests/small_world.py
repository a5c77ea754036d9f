"""A small world for tests of batches and models: random tables, random baskets, a tiny model with all weights alive."""

from datetime import date

import numpy as np
import torch

from retailsim import layout
from retailsim.config import ModelConfig
from retailsim.labels import TRIP_LABELS
from retailsim.model.basket_model import BasketModel
from retailsim.model.lookup import Tables
from retailsim.tensor_preparation.t3_time import day_table, hour_table, recency_table
from retailsim.tensor_preparation.t6_trip import trip_tables
from retailsim.training.purchases import PurchaseHistories, Purchases
from retailsim.training.samples import Samples
from retailsim.training.trip_kinds import SHIFTS
from retailsim.vocab import PAD, SPECIAL_TOKENS
from retailsim.weeks import Calendar

CALENDAR = Calendar(date(2006, 4, 10), last_week=12, train_end=8, val_end=10)
SPECIALS = len(SPECIAL_TOKENS)
VOCAB_SIZE = SPECIALS + 90
ROWS = VOCAB_SIZE + 7  # late products
CUSTOMERS, STORES = 30, 8
TINY = ModelConfig(
    width=32, encoder_layers=2, encoder_head_width=16, state_size=8, attention_heads=2, feed_forward=64, history=True, history_width=16,
    trip_evidence=True,
)  # fmt: skip


def make_tables(seed: int = 0) -> Tables:
    """Tables of random numbers; special tokens have no row and no price, a tenth of the prices is unknown."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    product, price = normal(ROWS, layout.T2.width), normal(ROWS, CALENDAR.last_week + 1, layout.T4.width)
    last_price = np.exp(normal(ROWS, CALENDAR.last_week + 1))
    last_price[rng.random(last_price.shape) < 0.1] = np.nan
    product[:SPECIALS], price[:SPECIALS], last_price[:SPECIALS] = 0, 0, np.nan
    price[..., layout.T4_PAID_KNOWN], price[..., layout.T4_SHIFT], price[..., layout.T4_BASKET] = 0, 0, 0
    arrays = normal(CUSTOMERS, layout.T1.width), normal(STORES, layout.T5.width), product, price, last_price
    codes = day_table(CALENDAR), hour_table(), recency_table()
    trip = tuple(torch.from_numpy(table) for table in trip_tables())
    popularity = rng.dirichlet(np.ones(VOCAB_SIZE), (CALENDAR.last_week + 1, 3)).astype(np.float32)

    def strongest() -> tuple[np.ndarray, np.ndarray]:
        ids = [rng.permuted(np.tile(np.arange(VOCAB_SIZE), (VOCAB_SIZE, 1)), axis=1)[:, :4] for _ in range(2)]
        weights = 0.1 * normal(2, VOCAB_SIZE, 4)
        weights[:, :SPECIALS] = 0
        return np.stack(ids), weights

    offers = popularity, *strongest(), *strongest()
    group = torch.from_numpy(rng.integers(0, 6, VOCAB_SIZE))
    return Tables(*(torch.from_numpy(array) for array in (*arrays, *offers, *codes)), trip, group)


def make_histories(seed: int = 0) -> PurchaseHistories:
    """Customers and stores of five rows each, with a trip of any kind and 20 products in every row's week; of stores once or twice."""
    rng = np.random.default_rng(seed)

    def purchases(rows: int, is_store: bool) -> Purchases:
        bought = [np.concatenate([[PAD], SPECIALS + np.sort(rng.permutation(90)[:20])]) for _ in range(1, rows)]
        weeks = np.repeat(np.arange(1 - rows, 0), 21)  # before every basket
        events = np.stack([weeks, np.concatenate(bought), is_store * rng.integers(1, 3, len(weeks))], axis=1)
        if not is_store:
            kinds = (rng.integers(1, 5, (len(weeks), len(TRIP_LABELS))) << SHIFTS).sum(axis=1)
            events = np.column_stack([events, np.where(events[:, 1] == PAD, kinds, 0)])
        row = np.arange(rows)
        first = row // 5 * 5  # five rows each
        histories = 21 * (np.maximum([first, row], 1) - 1).T
        return Purchases(histories.astype(np.int64), events.astype(np.int32))

    return PurchaseHistories(purchases(CUSTOMERS, False), purchases(STORES, True), VOCAB_SIZE)


def make_samples(lengths: np.ndarray, seed: int = 0) -> Samples:
    """Baskets of these lengths: distinct products in random order, a tenth of prices, quantities and trip labels unknown."""
    rng, n = np.random.default_rng(seed), len(lengths)
    products = [SPECIALS + rng.permutation(ROWS - SPECIALS)[:length] for length in lengths]
    prices = np.exp(rng.standard_normal(lengths.sum())).astype(np.float32)
    prices[rng.random(len(prices)) < 0.1] = np.nan
    quantities = rng.integers(1, 4, len(prices)).astype(np.float32)
    quantities[rng.random(len(prices)) < 0.1] = np.nan
    trip = np.stack([rng.integers(0, len(names), n) for names in TRIP_LABELS.values()], axis=1)
    trip[rng.random(trip.shape) < 0.1] = -1
    week = rng.integers(1, CALENDAR.last_week + 1, n)
    columns = {
        "sample": np.arange(n),
        "week": week,
        "day": 7 * (week - 1) + rng.integers(0, 7, n),
        "hour": rng.integers(8, 22, n),
        "customer_row": rng.integers(0, CUSTOMERS, n),
        "store_row": rng.integers(1, STORES, n),
        "recency": rng.integers(-1, 9, n),
        "n_products": np.asarray(lengths),
    }
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Samples(columns, trip, starts, np.concatenate(products), prices, quantities, make_histories())


def make_model(tables: Tables, seed: int = 0) -> BasketModel:
    """A model in evaluation whose learned rows are all different from zero, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BasketModel(TINY, tables, VOCAB_SIZE).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model
