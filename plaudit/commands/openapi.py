"""`plaudit openapi`: the description of everything that `plaudit up` answers."""

import sys


def openapi() -> None:
    """Print the OpenAPI 3.1 document of gateway and feedback API, as `plaudit up` serves it at /openapi.json."""
    from serving.openapi import encoded

    sys.stdout.write(encoded().decode())
