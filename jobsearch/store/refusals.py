"""The one place that maps the errors of Qdrant's client to ours."""

from json import JSONDecodeError

import grpc  # type: ignore[import-untyped]
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from jobsearch.errors import CollectionNotFound, StoreError, StoreUnavailable

_KEY = (401, grpc.StatusCode.UNAUTHENTICATED)
_PERMISSION = (403, grpc.StatusCode.PERMISSION_DENIED)
_NOT_FOUND = (404, grpc.StatusCode.NOT_FOUND)
_SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
# It ran out of time; the others are what stands before a server says while that is away.
_BUSY = (408, 502, 503, 504)


def translate(error: Exception, where: str) -> StoreError | None:  # noqa: PLR0911
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
