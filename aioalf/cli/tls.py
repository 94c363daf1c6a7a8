"""The certificates of ``--cacert``, ``--cert`` and ``--key``."""

from __future__ import annotations

import argparse
import ssl
from pathlib import Path

from .errors import CommandError, ExitStatus

__all__ = ("tls_of",)


def tls_of(args: argparse.Namespace) -> ssl.SSLContext | None:
    """Return what TLS connections are made with; None: as usual.

    :raises CommandError: a file cannot be read, or does not hold what it should.
    """
    if args.cacert is None and args.cert is None:
        return None
    try:
        context = ssl.create_default_context(cafile=args.cacert)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("--cacert", args.cacert, "certificates", error) from error
    if args.cert is not None:
        try:
            context.load_cert_chain(args.cert, args.key, _no_password)
        except (OSError, ssl.SSLError) as error:
            what = "a certificate and its key, which is not encrypted"
            blamed = "--cert", args.cert
            if args.key and not isinstance(error, ssl.SSLError) and Path(args.cert).is_file():
                blamed = "--key", args.key
            raise _unusable(*blamed, what, error) from error
    return context


def _no_password() -> str:
    return ""  # without it OpenSSL asks the terminal


def _unusable(option: str, name: str, what: str, error: OSError) -> CommandError:
    if isinstance(error, ssl.SSLError) or not error.errno:
        line = f"{option}: {name} does not hold {what}, in PEM"
    else:
        line = f"{option}: cannot read {name}: {error.strerror}"
    return CommandError(ExitStatus.USAGE, line)
