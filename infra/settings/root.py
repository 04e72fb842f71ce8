"""The root of the settings tree."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from infra.settings.ab_testing import AbTestingSettings
from infra.settings.access import AccessSettings
from infra.settings.console import ConsoleSettings
from infra.settings.infrastructure import (
    EventLogSettings,
    JobSettings,
    LoggingSettings,
    ModelSettings,
    RegistrySettings,
    StoreSettings,
)
from infra.settings.ingest import IngestSettings
from infra.settings.monitoring import MonitoringSettings
from infra.settings.policy_update import PolicyUpdateSettings
from infra.settings.retention import RetentionSettings
from infra.settings.reward_model import RewardModelSettings
from infra.settings.serving import ServingSettings
from infra.settings.tracing import TracingSettings
from infra.settings.trust import TrustSettings


class Settings(BaseSettings):
    """Everything that can be set. `load_settings` fills it from flags, environment and `plaudit.toml`."""

    model_config = SettingsConfigDict(
        env_prefix="PLAUDIT_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    project: str = Field("default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """The product this deployment serves; every row carries it."""
    data_dir: Path = Path("plaudit-data")
    """Folder of everything the embedded system keeps: store, log, registry, adapters, reward models."""
    user_key_secret: SecretStr = SecretStr("")
    """Secret under which user ids become user keys. Empty: made once and kept in the data folder (mode 600)."""
    previous_user_key_secrets: SecretStr = SecretStr("")
    """Former values of `user_key_secret`, separated by commas: keys made under them are still found for erasure."""

    store: StoreSettings = StoreSettings()
    event_log: EventLogSettings = EventLogSettings()
    registry: RegistrySettings = RegistrySettings()
    model: ModelSettings = ModelSettings()
    jobs: JobSettings = JobSettings()
    logging: LoggingSettings = LoggingSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    tracing: TracingSettings = TracingSettings()
    access: AccessSettings = AccessSettings()
    retention: RetentionSettings = RetentionSettings()
    serving: ServingSettings = ServingSettings()
    console: ConsoleSettings = ConsoleSettings()
    ingest: IngestSettings = IngestSettings()
    trust: TrustSettings = TrustSettings()
    reward_model: RewardModelSettings = RewardModelSettings()
    policy_update: PolicyUpdateSettings = PolicyUpdateSettings()
    ab_testing: AbTestingSettings = AbTestingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `infra.settings.loading` merges file and environment and hands them in; code that makes a tree itself
        # (tests, tools) gets exactly what it asks for.
        return (init_settings,)

    @property
    def store_url(self) -> str:
        """URL of the store: the setting, else SQLite in the data folder."""
        return self.store.url or f"sqlite:///{(self.data_dir / 'store.sqlite3').absolute()}"
