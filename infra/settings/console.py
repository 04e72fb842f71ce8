"""Settings of the console."""

from pydantic import Field, SecretStr

from infra.settings.base import Section


class ConsoleSettings(Section):
    """The web console that the gateway serves under `/console`."""

    enabled: bool = True
    """Whether the gateway serves it at all."""
    session_secret: SecretStr = SecretStr("")
    """Secret under which sessions are signed, the same on all replicas. Empty: derived from the deployment's secret."""
    session_seconds: float = Field(8 * 3600.0, gt=0, le=30 * 86400.0)
    """How long a sign-in holds."""
    local_password: bool = True
    """Whether the password that is made once in the data folder (`console-password`, mode 600) opens the console as
    admin. Turn it off where several people share the deployment: API keys name who acted."""
    logins_per_minute: float = Field(6.0, gt=0)
    """Sustained attempts to sign in from one address; above it 429."""
    login_burst: int = Field(10, ge=1)
    """Attempts to sign in that may come at once."""
    secure_cookie: bool = False
    """Send the session's cookie over HTTPS alone. Turn it on wherever the console is not on loopback."""
    show_texts: bool = True
    """Show prompts and answers on the page of a model. Off where operators must not read what people write."""
    refresh_seconds: float = Field(10.0, ge=1)
    """How often open pages ask for news."""
