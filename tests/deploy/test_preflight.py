"""Run the last step of an image build, which refuses an image that could not serve."""

from pathlib import Path

from deploy.preflight import main, model_directories


def test_a_directory_without_artifacts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("the format")
    (tmp_path / "half_written" / "1").mkdir(parents=True)
    assert "holds no artifact" in (main(tmp_path) or "")


def test_an_artifact_that_is_refused_stops_the_build(tmp_path: Path) -> None:
    version = tmp_path / "some_model" / "1"
    version.mkdir(parents=True)
    (version / "manifest.json").write_text("{}")
    reason = main(tmp_path) or ""
    assert str(version / "manifest.json") in reason
    assert "schema_version" in reason


def test_a_model_of_two_versions_is_listed_once(tmp_path: Path) -> None:
    for version in ("b/1", "b/2", "a/1"):
        (tmp_path / version).mkdir(parents=True)
        (tmp_path / version / "manifest.json").write_text("{}")
    assert [directory.name for directory in model_directories(tmp_path)] == ["a", "b"]
