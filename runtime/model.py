"""An artifact, loaded: decode, preprocess, session, postprocess."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import (
    VERSION,
    Manifest,
    Spec,
    Task,
    Variant,
    parse_spec,
    read_manifest,
    verify_file,
    versions,
)
from runtime.engine.resources import cpu_features
from runtime.engine.session import Feeds, Session, SessionOptions
from runtime.errors import ArtifactError, InputError, not_finite
from runtime.predict.assets import Assets, load_assets
from runtime.predict.check_feeds import check_feeds
from runtime.predict.postprocess import Context, postprocess
from runtime.predict.prepare import Bounds, Condition, Media, MediaContext, Prepared, prepare
from runtime.results import Provenance, Result, is_finite


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model, ready to answer. Safe to use from several threads at once."""

    manifest: Manifest
    spec: Spec  # the copy inside the ONNX file
    variant: Variant  # the one this machine runs
    session: Session
    assets: Assets = field(default_factory=Assets)

    def predict(
        self, media: Media, *, condition: str | None = None, bounds: Bounds | None = None
    ) -> Result:
        """Answer for one input: an image, a sound, a clip or a text, as the spec's task says.

        Args:
            media: an encoded file (image: JPEG, PNG, WebP, BMP, GIF; sound: WAV, FLAC, Ogg, MP3;
                clip: MP4, MOV, WebM, Matroska, AVI) or UTF-8 text; or decoded: an image (H, W, 3)
                uint8 RGB, a waveform (S,) float32 at the spec's sampling rate, a clip
                (n, H, W, 3) uint8 RGB, a str.
            condition: of the person in a clip, by a name or synonym that the version knows; None
                where nothing is known.
            bounds: the largest media decoded; None for the defaults.

        Raises:
            InputError: the media cannot be decoded or does not fit, or the condition is unknown;
                nothing was run.
            ModelOutputError: the answer holds NaN or infinity.
        """
        return self.answer(self.prepare(media, condition=condition, bounds=bounds))

    def prepare(
        self, media: Media, *, condition: Condition = None, bounds: Bounds | None = None
    ) -> Prepared:
        """Decode and preprocess one input; run nothing.

        Args:
            media: as for `predict`.
            condition: of the person in a clip: a name, or the (D,) float32 vector itself.
            bounds: the largest media decoded; None for the defaults.

        Raises:
            InputError: as for `predict`.
        """
        return prepare(media, MediaContext(self.spec, self.assets, bounds or Bounds(), condition))

    def answer(self, prepared: Prepared) -> Result:
        """Run the graph on one prepared input and build the task's result.

        Every answer that the commands, the tasks and the server give for one input comes from here.

        Args:
            prepared: from `prepare`, or made by a task that decodes its media itself.

        Raises:
            InputError: the feeds do not fit the graph.
            ModelOutputError: the answer holds NaN or infinity, which JSON would lose.
        """
        context = Context(
            self.spec,
            self.manifest.version,
            self.manifest.digest,
            source_height=prepared.height,
            source_width=prepared.width,
            silent=prepared.silent,
        )
        result = postprocess(self.run(prepared.feeds), context)
        if not is_finite(result):
            raise not_finite(self.spec.id)
        return result

    @property
    def provenance(self) -> Provenance:
        """Return what identifies this model in its answers."""
        manifest = self.manifest
        return Provenance(
            model=manifest.id,
            version=manifest.version,
            digest=manifest.digest,
            variant=self.variant.name,
            weights=manifest.weights.origin,
        )

    def require_task(self, task: Task) -> None:
        """Refuse a model that was made for another task.

        Raises:
            InputError: naming the model, its task and the one allowed.
        """
        if self.spec.task != task:
            raise InputError(f"{self.spec.id} is for {self.spec.task}; allowed: {task}")

    def run(
        self, feeds: Feeds, output_names: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Run the graph on tensors.

        Args:
            feeds: an array per input of the spec, of its dtype and shape.
            output_names: outputs wanted, in that order; None for all.

        Raises:
            InputError: a tensor is missing, unknown, or of another dtype or shape.
        """
        check_feeds(feeds, self.spec, self.assets)
        known = [output.name for output in self.spec.outputs]
        for name in output_names or ():
            if name not in known:
                raise InputError(
                    f"output {name!r} is unknown; {self.spec.id} has {', '.join(known)}"
                )
        wanted = output_names or known
        # a scalar has no rows to tell apart
        if self.variant.batch_invariant or any(array.ndim == 0 for array in feeds.values()):
            return self.session.run(feeds, wanted)
        rows = next(iter(feeds.values())).shape[0]
        # a row would depend on its companions
        alone = [
            self.session.run({name: array[i : i + 1] for name, array in feeds.items()}, wanted)
            for i in range(rows)
        ]
        return {name: np.concatenate([row[name] for row in alone]) for name in wanted}


def load(
    path: str | Path, *, variant: str | None = None, options: SessionOptions | None = None
) -> Model:
    """Load an artifact.

    Args:
        path: artifacts/<model> (its newest complete version) or artifacts/<model>/<version>.
        variant: one by its name, whatever CPU it is for; None for the best that this CPU runs.
        options: of the session; None for the serving defaults.

    Raises:
        ArtifactError: no complete version there, or any part of it is refused.
    """
    directory = version_directory(Path(path))
    manifest = read_manifest(directory)
    if directory.name != str(manifest.version):
        raise ArtifactError(f"{directory}: its manifest says version {manifest.version}")
    chosen = _named(manifest, variant) if variant else choose_variant(manifest, cpu_features())
    paths = [verify_file(directory, file) for file in chosen.files]
    session = Session(paths[0], options)
    text = session.metadata.get("spec")
    if text is None:
        raise ArtifactError(f'{paths[0]} has no metadata_props["spec"]: not made by convert')
    spec = parse_spec(text, f"{paths[0]}: spec")
    if spec != manifest.spec:
        raise ArtifactError(
            f"{paths[0]}: its spec differs from the one in {directory}/manifest.json"
        )
    return Model(manifest, spec, chosen, session, load_assets(directory, manifest))


def choose_variant(manifest: Manifest, features: frozenset[str]) -> Variant:
    """The first variant that this CPU runs.

    Raises:
        ArtifactError: none does.
    """
    for variant in manifest.variants:
        if variant.runs_on(features):
            return variant
    needs = "; ".join(f"{v.name}: one of {', '.join(v.cpu_features)}" for v in manifest.variants)
    raise ArtifactError(f"{manifest.id}/{manifest.version}: this CPU runs no variant ({needs})")


def _named(manifest: Manifest, name: str) -> Variant:
    for variant in manifest.variants:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in manifest.variants)
    raise ArtifactError(f"{manifest.id}/{manifest.version} has no variant {name!r}; it has {known}")


def version_directory(path: Path) -> Path:
    """A version's directory from its own path, or the newest complete one of a model's.

    Raises:
        ArtifactError: there is none.
    """
    if VERSION.fullmatch(path.name):
        return path
    found = versions(path)
    if not found:
        raise ArtifactError(f"{path} holds no complete version; make one: python -m convert run")
    return found[-1]
