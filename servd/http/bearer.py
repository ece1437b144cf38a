"""The token of a request, read alike on both ports. Used by server.py and guard.py."""

import hmac


def carries(authorization: bytes, token: bytes) -> bool:
    """Tell whether an Authorization header carries a token (RFC 6750 §2.1, RFC 9110 §11.1).

    The scheme is written in any case, with any number of blanks behind it. Where there are several
    such headers they come joined by commas, which are in no token that fits.
    """
    scheme, _, given = authorization.strip(_BLANKS).partition(b" ")
    is_right = hmac.compare_digest(given.strip(_BLANKS), token)
    return is_right and bool(token) and scheme.lower() == b"bearer"


_BLANKS = b" \t"
