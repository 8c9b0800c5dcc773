"""Labelled pairs, and the scale that fits them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.errors import PairsError
from convert.pipeline.cache import fingerprint
from convert.pipeline.job import Job, Outcome
from convert.pipeline.similarity.labelled_pairs import Pairs, read_pairs
from convert.pipeline.similarity.score_scale import BANDS, Cosines, fit_scale, measure_scale
from convert.pipeline.stages import convert
from convert.recipe import read
from runtime import load
from runtime.tasks.similarity import score, similarity
from tests.convert.support.tiny import write_recipe

NO_PAIRS = Pairs(Path("pairs.csv"), "sha256:0", ())


def picture(path: Path, red: int, green: int, blue: int) -> Path:
    image = np.full((40, 40, 3), (blue, green, red), np.uint8)
    image[:20, :20] //= 2
    assert cv2.imwrite(str(path), image)
    return path


def write_table(folder: Path, *, swapped: bool = False) -> Path:
    """Write a table: shades of a colour are similar, two colours different; or `swapped`."""
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)]
    similar, different = ("different", "similar") if swapped else ("similar", "different")
    rows = ["image_a,image_b,kind"]
    for index, colour in enumerate(colours):
        picture(folder / f"{index}.png", *colour)
        picture(folder / f"{index}-brighter.png", *(value + 12 for value in colour))
        rows.append(f"{index}.png,{index}.png,identical")
        rows.append(f"{index}.png,{index}-brighter.png,{similar}")
        rows.append(f"{index}.png,{(index + 1) % 4}.png,{different}")
    table = folder / "table.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    return table


def test_a_table_and_folders_say_the_same(tmp_path: Path) -> None:
    table = read_pairs(write_table(tmp_path))
    assert [pair.kind for pair in table.pairs[:3]] == ["identical", "similar", "different"]
    folders = tmp_path / "folders"
    for number, pair in enumerate(table.pairs):
        place = folders / pair.kind / str(number)
        place.mkdir(parents=True)
        (place / "a.png").write_bytes(pair.image_a.read_bytes())
        (place / "b.png").write_bytes(pair.image_b.read_bytes())
    assert read_pairs(folders).digest == table.digest
    (tmp_path / "pairs.csv").write_bytes((tmp_path / "table.csv").read_bytes())
    assert read_pairs(tmp_path).digest == table.digest
    picture(tmp_path / "0.png", 1, 2, 3)
    assert read_pairs(tmp_path).digest != table.digest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "columns nothing; needed: image_a, image_b, kind"),
        ("image_a,kind\n", "columns image_a, kind; needed: image_a, image_b, kind"),
        ("image_a,image_b,kind\n", "no pairs; needed: a CSV of image_a,image_b,kind, or a folder"),
        ("image_a,image_b,kind\na.png,a.png,alike\n", "line 2: kind 'alike'; allowed: identical"),
        ("image_a,image_b,kind\na.png,b.png,similar\n", "line 2: no image "),
        ("image_a,image_b,kind\na.png\n", "line 2: no image "),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, says: str) -> None:
    picture(tmp_path / "a.png", 1, 2, 3)
    table = tmp_path / "table.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(PairsError) as caught:
        read_pairs(table)
    assert says in str(caught.value)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="not readable"):
        read_pairs(tmp_path / "nowhere")
    place = tmp_path / "similar" / "one"
    place.mkdir(parents=True)
    picture(place / "a.png", 1, 2, 3)
    with pytest.raises(PairsError, match="one: 1 images; needed: 2"):
        read_pairs(tmp_path)
    place.parent.rename(tmp_path / "alike")
    with pytest.raises(PairsError, match="kind 'alike'; allowed: identical, similar, different"):
        read_pairs(tmp_path)


def cosines(**kinds: list[float]) -> Cosines:
    return {kind: np.array(kinds.get(kind, []), np.float64) for kind in BANDS}


def within(cosines: Cosines) -> dict[str, float]:
    measured = measure_scale(cosines, fit_scale(cosines, NO_PAIRS))
    return {kind: facts["within"] for kind, facts in measured.items() if facts["pairs"]}


@pytest.mark.parametrize(
    "cosines",
    [
        cosines(identical=[1, 0.99], similar=[0.7, 0.8, 0.85], different=[0.1, 0.2, 0.4]),
        cosines(similar=[0.7, 0.7, 0.7], different=[0.1, 0.1, 0.1]),
        cosines(similar=[0.95, 0.96, 0.97], different=[0.9, 0.93, 0.94]),
        cosines(similar=[0.5, 0.6, 0.7], different=[-1, -1, -0.9]),
        cosines(identical=[1, 1], similar=[0.5, 0.6, 0.998], different=[-0.1, 0, 0.495]),
    ],
)
def test_every_kind_lies_in_its_band(cosines: Cosines) -> None:
    assert set(within(cosines).values()) == {1.0}
    scale = fit_scale(cosines, NO_PAIRS)
    assert (scale.cosines[-1], scale.scores[-1]) == (1.0, 1.0)
    values = [score(cosine, scale) for cosine in np.linspace(-1, 1, 2001)]
    assert np.all(np.diff(values) > 0)
    assert score(1 - 1e-6, scale) >= 0.99  # float32 rounds the cosine of an image with itself


def test_pairs_nobody_judged_fall_into_the_bands() -> None:
    generator = np.random.default_rng(0)

    def draw(count: int) -> Cosines:
        similar, different = generator.normal((0.75, 0.2), (0.05, 0.08), (count, 2)).T
        return cosines(similar=list(similar), different=list(different))

    scale = fit_scale(draw(40), NO_PAIRS)
    others = measure_scale(draw(1000), scale)
    assert others["similar"]["within"] > 0.97
    assert others["different"]["within"] > 0.97


def test_a_few_pairs_may_be_wrong() -> None:
    similar, different = [*np.linspace(0.7, 0.9, 19), 0.2], [*np.linspace(0.1, 0.3, 19), 0.8]
    shares = within(cosines(similar=similar, different=different))
    assert shares == {"similar": pytest.approx(0.9, abs=0.06), "different": shares["different"]}
    assert shares["different"] >= 0.85


@pytest.mark.parametrize(
    ("cosines", "says"),
    [
        (
            cosines(similar=[0.8, 0.9], different=[0.1] * 5),
            "2 pairs are similar; needed: at least 3",
        ),
        (cosines(similar=[0.8] * 5), "0 pairs are different; needed: at least 3"),
        (cosines(similar=[0.2] * 5, different=[0.8] * 5), "contradict each other"),
        (cosines(similar=[0.5] * 5, different=[0.5] * 5), "contradict each other"),
        (
            cosines(identical=[0.6] * 5, similar=[0.8] * 5, different=[0.1] * 5),
            "identical: 0.600 to 0.600, half of 5 above 0.600; similar: 0.800",
        ),
    ],
)
def test_pairs_that_no_scale_fits_are_refused(cosines: Cosines, says: str) -> None:
    with pytest.raises(PairsError) as caught:
        fit_scale(cosines, NO_PAIRS)
    assert says in str(caught.value)


def embedder(folder: Path) -> Path:
    """Write the tiny recipe with an embedding in place of its three classes."""
    path = write_recipe(folder, model_id="directions")
    text = path.read_text(encoding="utf-8")
    for before, after in (
        ("head=Probabilities(softmax=True)", "head=UnitEmbedding()"),
        ("Loaded, Probabilities", "Loaded, UnitEmbedding"),
        ("        labels=LABELS,\n", ""),
        ('"image-classification"', '"image-feature-extraction"'),
        ("nn.Linear(WIDTH, len(LABELS))", "nn.Linear(WIDTH, 16)"),
    ):
        assert before in text
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
    return path


def run(recipe: Path, out: Path, pairs: Path | None, messages: list[str] | None = None) -> Outcome:
    job = Job(read(recipe), out, weights="seeded", precision="float", pairs=pairs)
    stages = messages if messages is not None else []
    return convert(job, lambda message: stages.append(str(message)))


def test_a_conversion_fits_its_scale(tmp_path: Path) -> None:
    recipe, out, table = embedder(tmp_path), tmp_path / "out", write_table(tmp_path)
    messages: list[str] = []
    assert run(recipe, out, table, messages).status == "packaged"
    assert any(
        "similarity of the pairs: identical 1.000 to 1.000 (100% of 4" in s for s in messages
    )
    model = load(out / "directions")
    scale = model.spec.similarity
    assert scale is not None
    assert scale.pairs == read_pairs(table).digest
    facts = model.variant.verification["similarity"]
    assert [facts[kind]["pairs"] for kind in BANDS] == [4, 4, 4]
    for pair in read_pairs(table).pairs:
        answer = similarity(pair.image_a.read_bytes(), [pair.image_b.read_bytes()], model)
        low, high = BANDS[pair.kind]
        assert low <= (answer.compared[0].score or 0) <= high, pair
    assert run(recipe, out, table).status == "unchanged"


def test_pairs_are_part_of_what_a_conversion_is_known_by(tiny_recipe: Path) -> None:
    recipe = read(tiny_recipe)
    keys = {fingerprint(recipe, (), pairs=pairs) for pairs in (None, "a", "b")}
    assert len(keys) == 3


def test_pairs_that_contradict_each_other_stop_a_conversion(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="the pairs contradict each other"):
        run(embedder(tmp_path), tmp_path / "out", write_table(tmp_path, swapped=True))
    assert not (tmp_path / "out" / "directions").exists()


def test_pairs_are_for_embeddings_of_images(tmp_path: Path, tiny_recipe: Path) -> None:
    with pytest.raises(PairsError, match="pairs are for image-feature-extraction; this checkpoint"):
        run(tiny_recipe, tmp_path / "out", write_table(tmp_path))
