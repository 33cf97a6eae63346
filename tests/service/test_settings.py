"""Every setting is an environment variable, secrets come from files, and nothing secret is shown."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from model.fusion import FusionConfig, Rule
from service.merged_searches import Merging
from service.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("MACREC_SECRETS", str(tmp_path / "secrets"))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACREC_BEAM", "50")
    monkeypatch.setenv("MACREC_WEIGHTS", '{"text": 2}')
    monkeypatch.setenv("MACREC_FUSION__RULE", "bonus")
    settings = load_settings()
    assert settings.beam == 50
    assert settings.weights == {"text": 2.0}
    assert settings.fusion == FusionConfig(rule=Rule.BONUS)


@pytest.mark.parametrize("name", ["REDIS_URL", "MACREC_REDIS_URL"])
def test_redis_is_known_by_its_usual_name_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "redis://:password@host")
    settings = load_settings()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:password@host"
    assert "password" not in repr(settings)


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "macrec_api_key").write_text("from a file\n")
    (tmp_path / "secrets" / "macrec_redis_url").write_text("redis://host")
    settings = load_settings()
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "from a file"
    assert settings.redis_url is not None


@pytest.mark.parametrize(
    ("name", "value"), [("MACREC_BEAM", "0"), ("MACREC_PROVIDER", "tpu"), ("MACREC_DEADLINE", "x")]
)
def test_a_setting_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("MACREC_").lower()):
        load_settings()


def test_a_default_within_no_limit_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"max_k .* max_beam"):
        Settings(max_k=300, max_beam=200)
    with pytest.raises(ValidationError, match=r"k .* max_k"):
        Settings(k=20, max_k=10)


def test_eight_bits_on_a_gpu_are_refused() -> None:
    with pytest.raises(ValidationError, match="precision int8 needs provider cpu"):
        Settings(precision="int8", provider="cuda")


def test_captured_searches_on_a_cpu_are_refused() -> None:
    with pytest.raises(ValidationError, match="only a GPU captures searches; set MACREC_PROVIDER=cuda"):
        Settings(capture=True)
    assert Settings(capture=True, provider="cuda").capture


def test_histories_are_kept_in_the_users_state_folder_or_only_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert load_settings().state == tmp_path / "macrec"
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("MACREC_BUNDLE", "/shops/shoes/bundle")
    state = load_settings().state
    assert state is not None
    assert state.parent == Path("/home/ann/.local/state/macrec")
    assert state.name.startswith("bundle-")
    monkeypatch.setenv("MACREC_STATE", "elsewhere")
    assert load_settings().state == Path("elsewhere")
    monkeypatch.setenv("MACREC_STATE", "")
    assert load_settings().state is None


def test_two_places_are_two_shops_and_one_place_stays_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shoes, books = tmp_path / "shoes" / "bundle", tmp_path / "books" / "bundle"
    assert Settings(bundle=shoes).state != Settings(bundle=books).state
    assert Settings(bundle=Path("books/../shoes/bundle")).state == Settings(bundle=shoes).state
    assert Settings(registry=shoes).state == Settings(bundle=shoes, registry=books).state
    (tmp_path / "old").mkdir()
    (current := tmp_path / "current").symlink_to(tmp_path / "old")
    before = Settings(bundle=current).state
    current.unlink()
    current.symlink_to(tmp_path)
    assert Settings(bundle=current).state == before


@pytest.mark.parametrize("name", ["MACREC_DEADLINE", "MACREC_DRAIN", "MACREC_REDIS_PATIENCE"])
def test_no_limit_is_infinite(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "inf")
    with pytest.raises(ValidationError, match="finite"):
        load_settings()


def test_there_is_at_least_one_worker() -> None:
    assert Settings(threads=1000).parallel_runs == 1
    assert Settings(workers=3).parallel_runs == 3


def test_merged_searches_have_enough_requests_to_fill_a_group_while_another_runs() -> None:
    gpu = Settings(provider="cuda", merge=16, merge_wait=0.001)
    assert gpu.merging == Merging(most=16, wait=0.001, runs=1)
    assert gpu.parallel_runs == 32
    cores = Settings().parallel_runs
    assert Settings(merge=4).merging.runs == cores
    assert Settings(merge=4).parallel_runs == 8 * cores
    assert Settings(merge=4, workers=3).parallel_runs == 3
