"""When a request to a Qdrant server is sent again: the one place that decides it.

Every request that jobsearch sends may be repeated: points are replaced by their ids, and names of
builds are used once. So what passes by itself (an answer that does not come, a connection that
breaks, 408, 429 and the server's own failures) is waited out for a bounded time, with exponential
back-off and full jitter (Brooker 2015, "Exponential Backoff And Jitter", AWS Architecture Blog).
A refusal, any other 4xx, is final at once.
"""

import logging
from collections.abc import Callable
from json import JSONDecodeError

import grpc  # type: ignore[import-untyped]
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    wait_random_exponential,
)

from jobsearch.errors import CollectionNotFound, StoreError, StoreUnavailable

_KEY = (401, grpc.StatusCode.UNAUTHENTICATED)
_PERMISSION = (403, grpc.StatusCode.PERMISSION_DENIED)
_NOT_FOUND = (404, grpc.StatusCode.NOT_FOUND)
_SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
# It ran out of time; the others are what stands before a server says while that is away.
_BUSY = (408, 502, 503, 504)


def store_error_for(error: Exception, where: str) -> StoreError | None:  # noqa: PLR0911
    """The error of ours for one of the client's; None for one that is none of the server's.

    ``where`` is the server's URL without secrets.
    """
    if isinstance(error, ResponseHandlingException):
        return _silence(str(error.source), where)
    if isinstance(error, QdrantException):
        return StoreUnavailable(f"the server at {where} is overloaded ({error}): try again later")
    if isinstance(error, JSONDecodeError):
        return StoreError(f"what answers at {where} is no Qdrant, or a broken one: {error}")
    if isinstance(error, UnexpectedResponse):
        return _refusal(error.status_code, error.content.decode(errors="replace"), where)
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        code = error.code()
        if code in _SILENT:
            return _silence(code.name, where)
        return _refusal(code, error.details() or "", where)
    # In memory the client has no other error for it.
    if isinstance(error, ValueError) and str(error).endswith("not found"):
        return CollectionNotFound(str(error))
    return None


def _silence(reason: str, where: str) -> StoreUnavailable:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return StoreUnavailable(
            f"the certificate of {where} is not trusted ({reason}): name the host as it does, or "
            "set SSL_CERT_FILE to the file of the authority that signed it"
        )
    return StoreUnavailable(
        f"no Qdrant answers at {where} ({reason}): start a server with `docker compose up -d`, "
        "or use a folder with --store PATH"
    )


def _refusal(code: int | grpc.StatusCode | None, said: str, where: str) -> StoreError:
    said = " ".join(said.split())[:300]
    if code in _BUSY:
        return StoreUnavailable(
            f"the server at {where} is overloaded or restarting ({code}: {said}): try again later"
        )
    if code in _KEY:
        return StoreError(f"the server at {where} refuses the API key: set JOBSEARCH_API_KEY")
    if code in _PERMISSION:
        return StoreError(
            f"the server at {where} does not let the API key do this ({said}): set "
            "JOBSEARCH_API_KEY to one that may read, to search, or write, to ingest"
        )
    answer = f"the server at {where} answered {code}: {said}"
    return CollectionNotFound(answer) if code in _NOT_FOUND else StoreError(answer)


_logger = logging.getLogger(__name__)
_back_off = wait_random_exponential(multiplier=0.25, max=10)

_TEMPORARY_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    # What a server answers by REST as 500, such as a replica that is not ready.
    grpc.StatusCode.FAILED_PRECONDITION,
)
# A server that ran out of time answers 408, also while copies on other nodes are not reached.
_TIMEOUT, _TOO_MANY, _SERVER_FAILED, _NOT_IMPLEMENTED = 408, 429, 500, 501


def retrying(retry_s: float) -> Retrying:
    """Calls what it is given, again and again while that fails in passing.

    A wait that would end later than ``retry_s`` seconds after the first failure is not begun;
    ``Retry-After`` lengthens one. So a call that timed out is made once more at least. The last
    error is raised as it is.
    """
    return Retrying(
        retry=retry_if_exception(is_temporary),
        wait=_wait,
        stop=_stop_after(retry_s),
        before_sleep=_tell,
        reraise=True,
    )


def _stop_after(retry_s: float) -> Callable[[RetryCallState], bool]:
    def stop(state: RetryCallState) -> bool:
        # There is one state a call, and none of tenacity's own limits leaves the first try out.
        failed = state.outcome_timestamp or 0.0
        first: float = state.__dict__.setdefault("first_failed", failed)
        return failed - first + state.upcoming_sleep >= retry_s

    return stop


def is_temporary(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, ResponseHandlingException):
        # Otherwise the answer came and made no sense.
        return isinstance(error.source, httpx.TransportError)
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or 0
        if status in (_TIMEOUT, _TOO_MANY):
            return True
        return status >= _SERVER_FAILED and status != _NOT_IMPLEMENTED
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return error.code() in _TEMPORARY_CODES
    # What the client makes of 429 with a Retry-After.
    return isinstance(error, QdrantException)


def _wait(state: RetryCallState) -> float:
    outcome = state.outcome.exception() if state.outcome else None
    asked = outcome.retry_after_s if isinstance(outcome, ResourceExhaustedResponse) else 0
    return max(asked, _back_off(state))


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0.0
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    _logger.warning("the server failed (%s): trying again in %.1f s", reason, pause)
