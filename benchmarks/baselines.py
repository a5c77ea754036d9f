"""The baselines by the published protocol: seconds to fit and rank each, and what it reaches on the replay-free test weeks.

Usage: python benchmarks/baselines.py DATA_ROOT [METHOD …]    (a data root on which commands 1–4 have run)

The protocol's vocabulary is that of all weeks before the test; `evaluate` ranks among the model's, that of the training
weeks. Results are kept in benchmarks/README.md with machine, date and commit.
"""

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from retailsim.evaluation.baselines import rank_hidden
from retailsim.evaluation.hidden import hide
from retailsim.evaluation.line_up import LINE_UP
from retailsim.evaluation.metrics import Metrics
from retailsim.evaluation.settings import DEFAULTS
from retailsim.reading import load_calendar, load_vocabulary
from retailsim.training.protocol import load_protocol
from retailsim.vocab import SPECIAL_TOKENS, Vocabulary


def main() -> None:
    root, specials = Path(sys.argv[1]), len(SPECIAL_TOKENS)
    fit_end = load_calendar(root).val_end
    stored = load_vocabulary(root)
    protocol = load_protocol(root, "test", stored)
    purchases, samples = protocol.market.purchases, protocol.samples
    sold = np.unique(purchases.product[(purchases.week <= fit_end)[purchases.basket]])
    ids = np.array(stored.ids)
    vocabulary = Vocabulary(ids[sold].tolist(), np.setdiff1d(ids[specials:], ids[sold]).tolist())
    row = np.concatenate([np.arange(specials), vocabulary.rows(stored.ids[specials:])])
    group = np.full(vocabulary.size, -1)
    inside = row[: stored.size] < vocabulary.size
    group[row[: stored.size][inside]] = protocol.market.product_group[inside]
    purchases = replace(purchases, product=row[purchases.product])
    market = replace(protocol.market, purchases=purchases, size=vocabulary.size, product_group=group)
    weeks = protocol.replay_free_weeks()
    assert weeks, "no week of the test is free of replays"
    keep = samples.columns["week"] <= weeks[1]
    asked, of_basket = samples.select(keep), protocol.hidden
    hidden = hide(
        asked.starts, row[asked.products], asked.columns["n_products"], asked.columns["week"],
        of_basket.customer[keep], of_basket.store[keep], asked.trip, vocabulary.size,
    )  # fmt: skip
    print(f"weeks {weeks[0]}–{weeks[1]}: {len(asked):,} baskets, {len(hidden.target):,} hidden, V {vocabulary.size:,}")
    for name in sys.argv[2:] or LINE_UP:
        start, cpu = time.perf_counter(), time.process_time()
        baseline = LINE_UP[name](market, fit_end, DEFAULTS)
        fitted = time.perf_counter()
        m = Metrics.from_ranks(rank_hidden(baseline, hidden).overall)
        del baseline
        end, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{name:22s} {100 * m.top1:6.2f} {100 * m.top5:6.2f} {100 * m.top10:6.2f} {m.mrr:.4f} {m.ndcg10:.4f}   "
            f"fit {fitted - start:6.1f} s, rank {end - fitted:6.1f} s (CPU {time.process_time() - cpu:6.1f} s), peak {peak:.1f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
