"""The errors of FSx, with the names of its API."""

from __future__ import annotations

from pcinfra.localcloud.services.errors import ServiceError


def refused(code: str, message: str, **members: str) -> ServiceError:
    """Return the error ``code``; ``members`` are what the API's model adds to it, such as ``Limit``."""
    error = ServiceError(code, message)
    for name, value in members.items():
        setattr(error, name, value)
    return error


def bad_request(message: str) -> ServiceError:
    return refused("BadRequest", message)


def unsupported(message: str) -> ServiceError:
    return refused("UnsupportedOperation", message)


def not_found(code: str, what: str, wanted: str) -> ServiceError:
    return refused(code, f"{what} '{wanted}' does not exist.")


def incompatible(parameter: str) -> ServiceError:
    """A client request token has been used before, with other parameters."""
    message = f"The parameters do not match those of the earlier request with this token: {parameter}."
    return refused("IncompatibleParameterError", message, Parameter=parameter)
