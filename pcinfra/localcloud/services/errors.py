"""The root of every error that our services answer with."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class ServiceError(ServiceException):
    """``ServiceError(code, message)``: an error of a service's API.

    moto takes a subclass from outside its own package for an error of the service that is called, and looks the code
    up in that service's model.
    """
