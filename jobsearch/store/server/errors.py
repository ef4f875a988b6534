"""Errors of the Qdrant client: their mapping to jobsearch's errors, and retries.

Every request of jobsearch can be repeated safely: points are replaced by id, and names of builds
are used once. Temporary failures (no answer, a broken connection, HTTP 408 and 429, and errors
inside the server) are retried for a limited time, with exponential back-off and full jitter
(Brooker 2015, "Exponential Backoff And Jitter", AWS Architecture Blog). Other HTTP 4xx answers are
final.
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
from jobsearch.store.server.limits import AnswerRefused, mask

_BAD_KEY = (401, grpc.StatusCode.UNAUTHENTICATED)
_NO_PERMISSION = (403, grpc.StatusCode.PERMISSION_DENIED)
_NOT_FOUND = (404, grpc.StatusCode.NOT_FOUND)
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
# 408 is the server's own timeout; a gateway in front of a server that is down sends the others.
_BUSY = (408, 502, 503, 504)
# Of a server's text in a message.
_MAX_REASON_CHARS = 300


#: Raised by the Qdrant client, and by code that reads its results, for an answer that does not have
#: the structure of Qdrant's answers.
BAD_ANSWER = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


def map_client_error(  # noqa: PLR0911
    error: Exception, where: str, secret: str | None = None
) -> StoreError | None:
    """Map an exception of the Qdrant client to a ``StoreError``; None if it is another exception.

    Args:
        error: the exception.
        where: URL of the server, without secrets.
        secret: the API key, which a server may repeat; the message does not show it.
    """
    if isinstance(error, ResponseHandlingException):
        if isinstance(error.source, AnswerRefused):
            return bad_answer_error(error.source, where, secret)
        return _no_answer_error(_shortened(str(error.source), secret), where)
    if isinstance(error, QdrantException):
        details = _shortened(str(error), secret)
        return StoreUnavailable(f"the server at {where} is overloaded ({details}): try again later")
    if isinstance(error, JSONDecodeError):
        return bad_answer_error(error, where, secret)
    if isinstance(error, UnexpectedResponse):
        details = _shortened(error.content.decode(errors="replace"), secret)
        return _refusal_error(error.status_code, details, where)
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        code = error.code()
        if code in _NO_ANSWER:
            return _no_answer_error(code.name, where)
        return _refusal_error(code, _shortened(error.details() or "", secret), where)
    # The client's local mode raises a ValueError for an unknown collection.
    if isinstance(error, ValueError) and str(error).endswith("not found"):
        return CollectionNotFound(str(error))
    return None


def _shortened(text: str, secret: str | None) -> str:
    """A server's text as one line for a message, without the API key."""
    return " ".join(mask(text, secret).split())[:_MAX_REASON_CHARS]


def bad_answer_error(error: Exception, where: str, secret: str | None = None) -> StoreError:
    """Return the error for an answer that Qdrant would not give."""
    reason = _shortened(str(error), secret) or type(error).__name__
    return StoreError(
        f"the answer of {where} is not valid for Qdrant ({reason}): "
        "check that `store` is the URL of a Qdrant server"
    )


def cause_without(secret: str | None, error: Exception) -> Exception | None:
    """The exception to name as a cause: None if it shows the API key."""
    return error if mask(str(error), secret) == str(error) else None


def _no_answer_error(reason: str, where: str) -> StoreUnavailable:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return StoreUnavailable(
            f"the certificate of {where} is not trusted ({reason}): use the host name in the "
            "certificate, or set SSL_CERT_FILE to the file of the authority that signed it"
        )
    return StoreUnavailable(
        f"no Qdrant answers at {where} ({reason}): start a server with `docker compose up -d`, "
        "or set `store` to a folder"
    )


def _refusal_error(code: int | grpc.StatusCode | None, details: str, where: str) -> StoreError:
    if code in _BUSY:
        return StoreUnavailable(
            f"the server at {where} is overloaded or restarting ({code}: {details}): "
            "try again later"
        )
    if code in _BAD_KEY:
        return StoreError(
            f"the server at {where} rejects the API key: set `api_key` (JOBSEARCH_API_KEY)"
        )
    if code in _NO_PERMISSION:
        return StoreError(
            f"the server at {where} does not allow this request with the API key ({details}): set "
            "`api_key` (JOBSEARCH_API_KEY) to a key with read access to search, or with write "
            "access to ingest"
        )
    message = f"the server at {where} answered {code}: {details}"
    return CollectionNotFound(message) if code in _NOT_FOUND else StoreError(message)


_logger = logging.getLogger(__name__)
_back_off = wait_random_exponential(multiplier=0.25, max=10)

_TEMPORARY_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    # Failures that REST reports as 500, for example a replica that is not ready.
    grpc.StatusCode.FAILED_PRECONDITION,
)
# A server answers 408 when it runs out of time, also while replicas on other nodes are unreachable.
_TIMEOUT, _TOO_MANY_REQUESTS, _SERVER_ERROR, _NOT_IMPLEMENTED = 408, 429, 500, 501


def retrying(retry_s: float, secret: str | None = None) -> Retrying:
    """Return a caller that repeats a request while it fails temporarily.

    It stops when the next pause would end later than ``retry_s`` seconds after the first failure,
    and raises the last error unchanged. A ``Retry-After`` header lengthens a pause. The duration of
    the first request does not count, so a request that timed out is repeated at least once.

    Args:
        retry_s: how long to retry.
        secret: the API key, which is masked in the log.
    """

    def log_retry(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        reason = mask(" ".join(str(error).split()), secret)[:200] or type(error).__name__
        _logger.warning("the server failed (%s): trying again in %.1f s", reason, pause)

    return Retrying(
        retry=retry_if_exception(is_temporary),
        wait=_pause_s,
        stop=_stop_after(retry_s),
        before_sleep=log_retry,
        reraise=True,
    )


def _stop_after(retry_s: float) -> Callable[[RetryCallState], bool]:
    def stop(state: RetryCallState) -> bool:
        # tenacity's own limits count from the start of the first request, so this one keeps the
        # time of the first failure in the state, which exists once per call.
        failed = state.outcome_timestamp or 0.0
        first: float = state.__dict__.setdefault("first_failed", failed)
        return failed - first + state.upcoming_sleep >= retry_s

    return stop


def is_temporary(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, ResponseHandlingException):
        # Other sources mean that an answer arrived but could not be parsed.
        return isinstance(error.source, httpx.TransportError)
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or 0
        if status in (_TIMEOUT, _TOO_MANY_REQUESTS):
            return True
        return status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return error.code() in _TEMPORARY_CODES
    # The client raises this for 429 with a Retry-After header.
    return isinstance(error, QdrantException)


def _pause_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    retry_after_s = error.retry_after_s if isinstance(error, ResourceExhaustedResponse) else 0
    return max(retry_after_s, _back_off(state))
