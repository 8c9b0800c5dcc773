"""Resolution of weights: the user's files, published ones, seeded ones, and refusals."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from convert import recipe
from convert.commands.doctor.environment import REQUIREMENTS, read_pins
from convert.errors import CheckpointError, LabelsError, SourceError
from convert.recipe import RecipeFile
from convert.sources import AnySource, HubSource, Source
from convert.weights.download import Fetched
from convert.weights.installed import find_installed
from convert.weights.resolve import ResolvedWeights, WeightsMode, find, source_to_fetch
from tests.convert.support.packages import install

MODEL = "background_u2netp"
MODES: tuple[WeightsMode, ...] = ("pretrained", "auto")


@pytest.fixture
def recipe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecipeFile:
    monkeypatch.chdir(tmp_path)
    original = recipe.find(MODEL)
    # whether its package is installed depends on the environment of the tests
    return replace(original, recipe=replace(original.recipe, package=None))


def unseeded(recipe_file: RecipeFile) -> RecipeFile:
    return replace(recipe_file, recipe=replace(recipe_file.recipe, seed=None))


def place(*names: str) -> None:
    """Create empty files in checkpoints/."""
    Path("checkpoints").mkdir()
    for name in names:
        Path("checkpoints", name).touch()


def test_checkpoint_option_comes_before_a_local_file(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth")
    checkpoint = Path("mine.pth")
    for mode in MODES:
        assert find(recipe_file, mode, checkpoint) == ResolvedWeights("pretrained", checkpoint)


def test_local_checkpoint_is_used(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth", "background_u2net.pth")
    weights = find(recipe_file, "auto", None)
    assert weights == ResolvedWeights("pretrained", Path("checkpoints", f"{MODEL}.pth"))


def test_two_local_checkpoints_are_refused(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth", f"{MODEL}.onnx")
    with pytest.raises(CheckpointError, match=r"several checkpoints: .*\.onnx, .*\.pth; give"):
        find(recipe_file, "pretrained", None)


def test_auto_seeds_without_a_checkpoint(recipe_file: RecipeFile) -> None:
    assert find(recipe_file, "auto", None) == ResolvedWeights("seeded", None)


def test_no_weights_names_the_file_to_place_and_where_to_find_it(recipe_file: RecipeFile) -> None:
    source = recipe_file.recipe.source
    assert source is not None
    with pytest.raises(CheckpointError) as caught:
        find(recipe_file, "pretrained", None)
    assert f"Place them as checkpoints/{MODEL}.pth" in str(caught.value)
    assert source.address in str(caught.value)


@pytest.mark.parametrize("mode", ["seeded", "auto"])
def test_recipe_without_seed_needs_a_checkpoint(recipe_file: RecipeFile, mode: WeightsMode) -> None:
    with pytest.raises(CheckpointError, match="give --checkpoint"):
        find(unseeded(recipe_file), mode, None)


def test_seeded_and_a_checkpoint_exclude_each_other(recipe_file: RecipeFile) -> None:
    with pytest.raises(CheckpointError, match=r"--checkpoint mine\.pth and --weights seeded"):
        find(recipe_file, "seeded", Path("mine.pth"))


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_labels_file_beside_a_local_checkpoint_is_no_second_checkpoint(
    recipe_file: RecipeFile, ending: str
) -> None:
    place(f"{MODEL}.pth", f"{MODEL}.labels.{ending}")
    weights = find(recipe_file, "pretrained", None)
    assert weights.path == Path("checkpoints", f"{MODEL}.pth")
    assert weights.labels == Path("checkpoints", f"{MODEL}.labels.{ending}")


def test_labels_file_alone_is_no_checkpoint(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.labels.txt")
    with pytest.raises(CheckpointError, match="no weights"):
        find(recipe_file, "pretrained", None)


def test_labels_file_has_the_name_of_its_checkpoint(
    recipe_file: RecipeFile, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run.7.best.pt"
    (tmp_path / "run.7.best.labels.json").touch()
    assert find(recipe_file, "pretrained", checkpoint).labels == tmp_path / "run.7.best.labels.json"


def test_labels_option_comes_before_a_file_beside_the_checkpoint(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth", f"{MODEL}.labels.txt")
    mine = Path("mine.txt")
    assert find(recipe_file, "pretrained", None, mine).labels == mine
    assert find(recipe_file, "seeded", None, mine) == ResolvedWeights("seeded", None, mine)
    assert find(recipe_file, "seeded", None).labels is None


def test_two_labels_files_are_refused(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.pth", f"{MODEL}.labels.txt", f"{MODEL}.labels.json")
    with pytest.raises(LabelsError, match=r"\.txt and .*\.json: two labels files"):
        find(recipe_file, "pretrained", None)


def test_directory_of_the_models_name_is_a_checkpoint(recipe_file: RecipeFile) -> None:
    place(f"{MODEL}.labels.txt")
    directory = Path("checkpoints", MODEL)
    directory.mkdir()
    expected = ResolvedWeights("pretrained", directory, Path("checkpoints", f"{MODEL}.labels.txt"))
    assert find(recipe_file, "pretrained", None) == expected
    Path("checkpoints", f"{MODEL}.pth").touch()
    with pytest.raises(CheckpointError, match="several checkpoints"):
        find(recipe_file, "pretrained", None)


# ---- a package, between a file of the user's and published weights


@pytest.fixture
def of_package(
    recipe_file: RecipeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RecipeFile:
    """Return the recipe with an installed package of one file, `a net`."""
    package = install(tmp_path / "packages", {"weights_of_a_net/net.onnx": b"a net"})
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return replace(recipe_file, recipe=replace(recipe_file.recipe, package=package))


@pytest.mark.parametrize("mode", MODES)
def test_installed_package_comes_before_published_weights(
    of_package: RecipeFile, tmp_path: Path, mode: WeightsMode
) -> None:
    publisher = Publisher()
    path = tmp_path / "packages/weights_of_a_net/net.onnx"
    assert find(of_package, mode, None, fetch=publisher) == ResolvedWeights(
        "pretrained",
        path,
        address="Python package weights-of-a-net 1.2, weights_of_a_net/net.onnx",
        licence="ISC",
    )
    assert publisher.sources == []
    assert source_to_fetch(of_package, mode, None) is None


def test_files_of_the_user_come_before_a_package(of_package: RecipeFile) -> None:
    assert find(of_package, "auto", Path("mine.pth")) == ResolvedWeights(
        "pretrained", Path("mine.pth")
    )
    assert find(of_package, "seeded", None) == ResolvedWeights("seeded", None)
    place(f"{MODEL}.pth")
    weights = find(of_package, "auto", None)
    assert weights == ResolvedWeights("pretrained", Path("checkpoints", f"{MODEL}.pth"))


def test_published_weights_are_used_where_the_package_is_not_installed(
    of_package: RecipeFile, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "packages")
    publisher = Publisher()
    assert find(of_package, "auto", None, fetch=publisher).address == ADDRESS
    assert source_to_fetch(of_package, "auto", None) == of_package.recipe.source


@pytest.mark.parametrize("mode", MODES)
def test_changed_file_of_a_package_is_refused_in_every_mode(
    of_package: RecipeFile, tmp_path: Path, mode: WeightsMode
) -> None:
    (tmp_path / "packages/weights_of_a_net/net.onnx").write_bytes(b"another net")
    with pytest.raises(
        CheckpointError, match=r"net\.onnx: sha256 \w+ found; \w+ expected"
    ) as caught:
        find(of_package, mode, None, fetch=Publisher())
    assert "needed: that of weights-of-a-net==1.2, installed: 1.2" in str(caught.value)


# ---- published weights

ADDRESS = "https://example.org/net.onnx"


class Publisher:
    """A stand-in for `Store.fetch` that records the sources it is asked for."""

    def __init__(self, error: CheckpointError | None = None) -> None:
        self.sources: list[AnySource] = []
        self._error = error

    def __call__(self, source: AnySource) -> Fetched:
        self.sources.append(source)
        if self._error is not None:
            raise self._error
        return Fetched(Path("cache/net.onnx"), ADDRESS)


def test_published_weights_are_the_last_resort(recipe_file: RecipeFile) -> None:
    publisher = Publisher()
    for mode in MODES:
        weights = find(recipe_file, mode, None, fetch=publisher)
        assert weights == ResolvedWeights("pretrained", Path("cache/net.onnx"), None, ADDRESS)
    assert publisher.sources == [recipe_file.recipe.source] * 2
    find(recipe_file, "seeded", None, fetch=publisher)
    find(recipe_file, "auto", Path("mine.pth"), fetch=publisher)
    place(f"{MODEL}.pth")
    assert find(recipe_file, "auto", None, fetch=publisher).address is None
    assert len(publisher.sources) == 2


def test_source_to_fetch_is_known_before_the_download(recipe_file: RecipeFile) -> None:
    assert source_to_fetch(recipe_file, "auto", None) == recipe_file.recipe.source
    assert source_to_fetch(recipe_file, "seeded", None) is None
    assert source_to_fetch(recipe_file, "pretrained", Path("mine.pth")) is None
    place(f"{MODEL}.pth")
    assert source_to_fetch(recipe_file, "auto", None) is None


def test_unreachable_source_seeds_in_auto_and_says_why(recipe_file: RecipeFile) -> None:
    publisher = Publisher(SourceError("example.org did not answer"))
    weights = find(recipe_file, "auto", None, fetch=publisher)
    assert weights == ResolvedWeights("seeded", None, fallback_reason="example.org did not answer")
    with pytest.raises(CheckpointError, match="give --checkpoint"):
        find(unseeded(recipe_file), "auto", None, fetch=publisher)


def test_unreachable_source_names_the_file_to_place(recipe_file: RecipeFile) -> None:
    publisher = Publisher(SourceError("example.org did not answer"))
    with pytest.raises(CheckpointError) as caught:
        find(recipe_file, "pretrained", None, fetch=publisher)
    assert f"Place them as checkpoints/{MODEL}.pth" in str(caught.value)
    assert str(caught.value).endswith("(Apache-2.0): example.org did not answer")


@pytest.mark.parametrize("mode", MODES)
def test_wrong_download_is_refused_in_every_mode(
    recipe_file: RecipeFile, mode: WeightsMode
) -> None:
    publisher = Publisher(CheckpointError("sha256 a found; b expected"))
    with pytest.raises(CheckpointError, match="sha256 a found; b expected"):
        find(recipe_file, mode, None, fetch=publisher)


def test_repository_option_reads_the_files_of_the_recipe(
    recipe_file: RecipeFile,
) -> None:
    ours = HubSource("ours/net", "MIT", ("config.json",), ("a.bin",), ("b.json",))
    of_hub = replace(recipe_file, recipe=replace(recipe_file.recipe, source=ours))
    publisher = Publisher()
    find(of_hub, "pretrained", Path("hf:me/my-net.2@v1"), fetch=publisher)
    find(of_hub, "auto", Path("hf:me/net"), fetch=publisher)
    tagged, plain = publisher.sources
    assert isinstance(tagged, HubSource)
    assert isinstance(plain, HubSource)
    assert (tagged.repository, tagged.revision) == ("me/my-net.2", "v1")
    assert (plain.repository, plain.revision) == ("me/net", None)
    assert (plain.files, plain.one_of, plain.optional) == (ours.files, ours.one_of, ours.optional)


def test_unreachable_repository_is_refused_in_every_mode(recipe_file: RecipeFile) -> None:
    with pytest.raises(CheckpointError, match="reads no repository; --checkpoint takes a PATH"):
        find(recipe_file, "pretrained", Path("hf:me/net"), fetch=Publisher())
    ours = HubSource("ours/net", "MIT", ("config.json",))
    of_hub = replace(recipe_file, recipe=replace(recipe_file.recipe, source=ours))
    for mode in MODES:
        with pytest.raises(SourceError, match="did not answer"):
            find(of_hub, mode, Path("hf:me/net"), fetch=Publisher(SourceError("did not answer")))
    for checkpoint in ("hf:", "hf:net", "hf:me/../net", "hf:me/net/x"):
        with pytest.raises(CheckpointError, match=r"allowed: hf:owner/name\[@revision\]"):
            find(of_hub, "pretrained", Path(checkpoint), fetch=Publisher())


@pytest.mark.parametrize("model_id", recipe.model_ids())
def test_sources_of_the_recipes_are_verifiable(model_id: str) -> None:
    source = recipe.find(model_id).recipe.source
    if isinstance(source, Source):
        assert source.address.startswith("https://")
        assert source.expected.pinned


@pytest.mark.parametrize("model_id", recipe.model_ids())
def test_packages_of_the_recipes_are_listed_and_hold_their_files(model_id: str) -> None:
    package = recipe.find(model_id).recipe.package
    if package is None:
        return
    assert read_pins(REQUIREMENTS)[package.package] == package.version
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in package.hashes.values())
    if find_installed(package) is None:
        pytest.skip(f"{package.package} is not installed: requirements/weights.txt")


def test_external_data_of_an_onnx_file_is_no_second_checkpoint(
    recipe_file: RecipeFile,
) -> None:
    place(f"{MODEL}.onnx", f"{MODEL}.onnx.data")
    weights = find(recipe_file, "pretrained", None)
    assert weights == ResolvedWeights("pretrained", Path("checkpoints", f"{MODEL}.onnx"))
