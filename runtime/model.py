"""A loaded artifact: decode and preprocess an input, run the graph, build the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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
from runtime.artifact.onnx_file import check_data_files
from runtime.artifact.signature import TrustedKeys
from runtime.engine.providers import CPU, Provider
from runtime.engine.resources import cpu_features
from runtime.engine.session import Feeds, Session, SessionOptions
from runtime.errors import ArtifactError, InputError, ProviderError, not_finite
from runtime.predict.assets import Assets, load_assets
from runtime.predict.check_feeds import check_feeds
from runtime.predict.postprocess import Context, postprocess
from runtime.predict.prepare import Bounds, Condition, Media, MediaContext, Prepared, prepare
from runtime.results import Provenance, Result, is_finite


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model, loaded. Safe to use from several threads at once."""

    manifest: Manifest
    spec: Spec  # the copy inside the ONNX file
    variant: Variant  # the file that runs on this machine
    session: Session
    assets: Assets = field(default_factory=Assets)
    notes: tuple[str, ...] = ()  # why not a better provider or variant: sentences, ASCII

    def predict(
        self, media: Media, *, condition: str | None = None, bounds: Bounds | None = None
    ) -> Result:
        """Return the task's result for one input: an image, a sound, a clip or a text.

        Args:
            media: an encoded file (image: JPEG, PNG, WebP, BMP, GIF, AVIF; sound: WAV, FLAC, Ogg,
                MP3; clip: MP4, MOV, WebM, Matroska, AVI) or UTF-8 text; or decoded: a Photo, an
                image (H, W, 3) uint8 sRGB, a waveform (S,) float32 at the spec's sampling rate, a
                clip (n, H, W, 3) uint8 RGB, a str.
            condition: of the person in a clip: a name or synonym that the version knows; None if
                nothing is known.
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

        Commands, tasks and the server get every result for a single input from this method.

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
        return replace(result, media_warnings=prepared.warnings)

    @property
    def provenance(self) -> Provenance:
        """Return what identifies this model in its answers."""
        manifest = self.manifest
        return Provenance(
            model=manifest.id,
            version=manifest.version,
            digest=manifest.digest,
            variant=self.variant.name,
            weights_origin=manifest.weights.origin,
        )

    def require_task(self, task: Task) -> None:
        """Refuse a model that was made for another task.

        Raises:
            InputError: this model is for another task; the message names both.
        """
        if self.spec.task != task:
            raise InputError(f"{self.spec.id} is for {self.spec.task}; allowed: {task}")

    def run(
        self, feeds: Feeds, output_names: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Run the graph on a batch of tensors.

        If the variant is not batch-invariant, each row runs alone: in one run, the other rows would
        change its answer.

        Args:
            feeds: an array per input of the spec, of its dtype and shape.
            output_names: outputs to return, in this order; None or empty for all.

        Returns:
            Arrays by output name, one row per row of the batch; they may hold NaN or infinity.

        Raises:
            InputError: a tensor is missing, unknown, or of another dtype or shape; or an output is
                unknown.
        """
        check_feeds(feeds, self.spec, self.assets)
        all_names = [output.name for output in self.spec.outputs]
        for name in output_names or ():
            if name not in all_names:
                raise InputError(
                    f"output {name!r} is unknown; {self.spec.id} has {', '.join(all_names)}"
                )
        names = output_names or all_names
        # a scalar input has no batch axis to split
        if self.variant.batch_invariant or any(array.ndim == 0 for array in feeds.values()):
            return self.session.run(feeds, names)
        rows = next(iter(feeds.values())).shape[0]
        runs = [
            self.session.run({name: array[i : i + 1] for name, array in feeds.items()}, names)
            for i in range(rows)
        ]
        return {name: np.concatenate([run[name] for run in runs]) for name in names}


def load(
    path: str | Path,
    *,
    variant: str | None = None,
    options: SessionOptions | None = None,
    trusted: TrustedKeys | None = None,
) -> Model:
    """Load an artifact, after checking the hashes of the files that it needs.

    Args:
        path: artifacts/<model> (its newest complete version) or artifacts/<model>/<version>.
        variant: the name of a variant, even one that this machine would not choose; None for the
            best one that it runs.
        options: of the session, and its provider; None for the serving defaults.
        trusted: the keys that may have signed the version; None: it need not be signed.

    Raises:
        ArtifactError: the path holds no complete version; a file is changed or contradicts the
            manifest; or the variant is unknown, or none runs on this CPU.
        ProviderError: the provider, which is not the CPU's, runs no variant or does not start.
    """
    options = options or SessionOptions()
    directory = version_directory(Path(path))
    trusted = trusted or TrustedKeys()
    manifest = read_manifest(directory, partial(trusted.check, directory))
    if directory.name != str(manifest.version):
        raise ArtifactError(f"{directory}: its manifest says version {manifest.version}")
    if variant is None:
        selected = choose_variant(manifest, cpu_features(), options.provider)
    else:
        selected = _find_variant(manifest, variant)
    paths = [verify_file(directory, file) for file in selected.files]
    check_data_files(paths[0], selected.files[1:])
    session = Session(paths[0], options)
    text = session.metadata.get("spec")
    if text is None:
        raise ArtifactError(f'{paths[0]} has no metadata_props["spec"]: not made by convert')
    spec = parse_spec(text, f"{paths[0]}: spec")
    if spec != manifest.spec:
        raise ArtifactError(
            f"{paths[0]}: its spec differs from the one in {directory}/manifest.json"
        )
    notes = choice_notes(manifest, selected, options.provider, session.operators_by_provider)
    return Model(manifest, spec, selected, session, load_assets(directory, manifest), notes)


def choose_variant(
    manifest: Manifest, features: frozenset[str], provider: Provider = CPU
) -> Variant:
    """Return the best variant for a machine: of those made for its provider, then of the others.

    Args:
        manifest: lists the variants, best first.
        features: of the CPU. They count for providers on the CPU alone.
        provider: runs the graph.

    Raises:
        ArtifactError: the CPU runs no variant.
        ProviderError: a provider other than the CPU's runs no variant.
    """
    where = f"{manifest.id}/{manifest.version}"
    ranked = sorted(manifest.variants, key=lambda variant: provider.name not in variant.providers)
    suitable = [variant for variant in ranked if is_for(variant, provider)]
    for variant in suitable:
        if provider.on_gpu or variant.runs_on(features):
            return variant
    needs = "; ".join(f"{v.name}: one of {', '.join(v.cpu_features)}" for v in suitable)
    if provider != CPU:
        raise ProviderError(f"{where}: no variant is for {provider.name} on this machine ({needs})")
    raise ArtifactError(f"{where}: this CPU runs no variant ({needs})")


def is_for(variant: Variant, provider: Provider) -> bool:
    """Check whether a variant is for a provider, whatever the CPU."""
    if variant.providers:
        return provider.name in variant.providers
    # on a GPU, most of its operators would run in float between conversions, or on the CPU
    return variant.precision != "int8" or not provider.on_gpu


def choice_notes(
    manifest: Manifest, variant: Variant, provider: Provider, operators: Mapping[str, int]
) -> tuple[str, ...]:
    """Return what whoever runs the server may want to change, as sentences.

    Args:
        manifest: lists the variants.
        variant: runs.
        provider: runs it.
        operators: how many of the graph each provider runs, by its name.
    """
    notes = []
    has_int8 = any(other.precision == "int8" for other in manifest.variants)
    if provider.on_gpu and variant.precision == "float" and has_int8:
        notes.append(
            f"INT8 of this version is for CPUs and slow on a GPU: float runs on {provider.name}; "
            "convert with --variants fp16 for a faster one"
        )
    if on_cpu := operators.get(CPU.name, 0):
        total = sum(operators.values())
        notes.append(f"{on_cpu} of {total} operators run on the CPU, not on {provider.name}")
    return tuple(notes)


def _find_variant(manifest: Manifest, name: str) -> Variant:
    """Return the variant of this name; refuse an unknown name."""
    for variant in manifest.variants:
        if variant.name == name:
            return variant
    names = ", ".join(variant.name for variant in manifest.variants)
    raise ArtifactError(f"{manifest.id}/{manifest.version} has no variant {name!r}; it has {names}")


def version_directory(path: Path) -> Path:
    """Return the directory of a version.

    Args:
        path: artifacts/<model>/<version>, returned unchecked; or artifacts/<model>, whose newest
            complete version is returned.

    Raises:
        ArtifactError: the model has no complete version.
    """
    if VERSION.fullmatch(path.name):
        return path
    directories = versions(path)
    if not directories:
        raise ArtifactError(f"{path} holds no complete version; make one: python -m convert run")
    return directories[-1]
