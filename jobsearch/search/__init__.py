"""Search: route to variants, filter, fuse over languages, group by concept."""

from jobsearch.search.engine import SearchEngine, SearchResult
from jobsearch.search.routing import choose_variant

__all__ = ["SearchEngine", "SearchResult", "choose_variant"]
