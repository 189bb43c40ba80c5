"""Loads models: a model folder becomes a `Scorer` for the check `supervisor`, a `Tagger` for names, a `PairJudge` or an
`Embedder`.

In: model folders and settings. Out: scores for texts and for pairs of texts, names in texts, or vectors of texts. Kept: one
model for each folder, which any thread may use. The heavy libraries are imported only when a model is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from guardproxy.conditions import RequestFeatures
from guardproxy.errors import ConfigError
from guardproxy.inference.folders.folder import FAST_FILES, VECTOR_FILES, find, kind_of, verify
from guardproxy.inference.folders.model import Model, ModelDescription, read
from guardproxy.inference.folders.request_features import read_features
from guardproxy.inference.names.tags import FILES as TAG_FILES
from guardproxy.inference.names.tags import TagModel
from guardproxy.inference.names.tags import read as read_tags
from guardproxy.inference.pairs.model import FILES as PAIR_FILES
from guardproxy.inference.pairs.model import read as read_pairs

if TYPE_CHECKING:
    from guardproxy.checks import Embedder, PairJudge, Scorer, Tagger
    from guardproxy.inference.embedding import TableEmbedder
    from guardproxy.inference.pairs.judge import ModelPairJudge
    from guardproxy.inference.running.meters import Registry
    from guardproxy.inference.scoring.scorer import ModelScorer
    from guardproxy.inference.serving import SharedPairs, SharedScorer

__all__ = [
    "DescribedModels",
    "Model",
    "Models",
    "Settings",
    "TagModel",
    "cores",
    "find",
    "load",
    "load_pairs",
    "load_tagger",
    "read",
    "read_pairs",
    "read_tags",
]


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of models that give scores.

    `threads`: CPU threads of one forward pass. `workers`: simultaneous forward passes. 0 means one thread, and as many
    passes as there are cores. With 8 requests at once this gave the best 99th percentile: more threads in a pass help
    a request that is alone and slow down all others. `queue`: number of requests that may wait for a model; `wait_s`:
    how long they may wait. `remembered`: number of pieces of texts whose verdicts are cached. `url`: a server that
    runs the network over KServe v2; `timeout_s`: how long it may take. `socket`: the socket of a process on this
    machine that runs the models. `device`: `cpu`, `cuda`, or `auto`: a GPU if it can be used.
    """

    threads: int = 0
    workers: int = 0
    queue: int = 256
    wait_s: float = 2.0
    remembered: int = 50_000
    url: str = ""
    timeout_s: float = 10.0
    socket: Path | None = None
    device: str = "auto"


def load(
    folder: Path,
    threads: int = 1,
    settings: Settings | None = None,
    registry: Registry | None = None,
    digits: int = 6,
) -> ModelScorer:
    """Loads and warms up the scorer of the model in `folder`.

    `threads`: used if `settings` is `None`. `digits`: the number of digits of a score. Raises `ConfigError` when the
    folder is incomplete, does not match its SHA256SUMS, or cannot be run.
    """
    settings = settings or Settings(threads=threads, workers=1)
    return _loaded(read(folder, remote=bool(settings.url)), settings, registry, digits)


def _loaded(model: Model, settings: Settings, registry: Registry | None, digits: int = 6) -> ModelScorer:
    """Returns the warmed-up scorer of a model whose folder was read. Raises `ConfigError`."""
    from guardproxy.inference.running import meters  # noqa: PLC0415 - imports heavy libraries, only now
    from guardproxy.inference.scoring.scorer import ModelScorer  # noqa: PLC0415 - as above

    meters_of_model = (registry or meters.Registry()).meters(model.folder.name)
    if settings.url:
        from guardproxy.inference.running.kserve import DIGITS, KServe  # noqa: PLC0415 - as above

        served = lambda pad, rows: KServe.connect(settings.url, model, pad, rows, settings.timeout_s)  # noqa: E731
        # On that server, rows that share a call may change a score a little (`running/kserve.py`).
        digits = min(digits, DIGITS)
        return ModelScorer(model, served, meters_of_model, settings.queue, settings.remembered, digits, settings.wait_s)
    from guardproxy.inference.running import session  # noqa: PLC0415 - as above

    threads, workers = settings.threads or 1, settings.workers or cores()
    own = lambda pad, rows: session.local_network(model, pad, rows, threads, workers, settings.device)  # noqa: E731
    return ModelScorer(model, own, meters_of_model, settings.queue, settings.remembered, digits, settings.wait_s)


def load_pairs(folder: Path, settings: Settings | None = None, registry: Registry | None = None) -> ModelPairJudge:
    """Loads and warms up the judge of pairs in `folder`, on the CPU of this process, whatever `settings` say about other
    machines. Raises `ConfigError`."""
    from guardproxy.inference.pairs.judge import ModelPairJudge, PairRows  # noqa: PLC0415 - imports heavy libraries, only now
    from guardproxy.inference.running import meters, session  # noqa: PLC0415 - as above

    settings = settings or Settings(threads=1, workers=1)
    model = read_pairs(folder)
    own = session.Session(model.folder / "model.onnx", settings.threads or 1)
    connect = lambda last: PairRows(own, settings.workers or cores(), last, model.has_matches)  # noqa: E731
    meters_of_model = (registry or meters.Registry()).meters(folder.name)
    return ModelPairJudge(model, connect, meters_of_model, settings.queue, settings.remembered, settings.wait_s)


DIFFICULTY = "difficulty"
"""The model of difficulty of requests that ships."""
PAIRS = "pairs"
"""The judge of pairs that ships."""
TOKENIZER = "tokenizer.json"
EMBEDDING = "embedding"
"""The model that ships and turns texts into vectors."""


class Models:
    """The models of a process. A model is loaded once, however often policies are read, as long as its folder does not
    change. It is freed with the last check that uses it. `folders`: searched for models first."""

    def __init__(
        self, folders: tuple[Path, ...] = (), settings: Settings | None = None, registry: Registry | None = None
    ) -> None:
        self._folders = folders
        self._settings = settings or Settings()
        self._registry = registry
        self._scorers: WeakValueDictionary[str, ModelScorer | SharedScorer] = WeakValueDictionary()
        self._taggers: WeakValueDictionary[str, Tagger] = WeakValueDictionary()
        self._judges: WeakValueDictionary[str, ModelPairJudge | SharedPairs] = WeakValueDictionary()
        self._embedders: WeakValueDictionary[str, TableEmbedder] = WeakValueDictionary()
        self._checked: dict[Path, tuple[object, Model]] = {}
        self._named: dict[str, tuple[str, Path]] = {}  # by the keys of what is loaded
        self._loading = Lock()

    def scorer(self, name: str) -> Scorer:
        """Returns the scorer of the model `name`. Raises `ConfigError`."""
        model = self._read(find(name, self._folders))
        key = f"{model.folder} {model.digest}"
        self._named[key] = name, model.folder
        # One lock for all: two policies that are read at once must not load a model twice.
        with self._loading:
            if (scorer := self._scorers.get(key)) is None:
                scorer = self._scorers[key] = self._load_scorer(model)
            return scorer

    def providers(self) -> dict[str, str]:
        """Returns for each loaded model that gives scores where it runs, such as an execution provider."""
        loaded = (*self._scorers.values(), *self._judges.values())
        return {model.model.folder.name: model.provider for model in loaded}

    def in_use(self) -> dict[str, Path]:
        """Returns the folder of each model that a check uses, by the name under which it was asked for."""
        loaded = {*self._scorers, *self._taggers, *self._judges, *self._embedders}
        return dict(sorted(named for key, named in self._named.items() if key in loaded))

    def name_of(self, digest: str) -> str:
        """Returns the name of the model with this digest that gives scores; empty if it is not loaded."""
        names = (name for key, (name, _) in self._named.items() if key in self._scorers and key.endswith(f" {digest}"))
        return next(names, "")

    def _read(self, folder: Path) -> Model:
        """Returns the model of a folder. Its files are hashed again only after one of them has changed: each check of each
        policy asks for it, and a hash of the whole takes 20 ms. Raises `ConfigError`."""
        files = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
        # A file that was replaced by another of the same time and size has another inode.
        state = [(name, about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino) for name, about in files]
        if self._checked.get(folder, (None,))[0] != state:
            self._checked[folder] = state, read(folder, remote=bool(self._settings.url))
        return self._checked[folder][1]

    def _load_scorer(self, model: Model) -> ModelScorer | SharedScorer:
        """Returns a scorer of its own, or one that another process runs, behind a socket. Raises `ConfigError`."""
        if self._settings.socket:
            from guardproxy.inference.serving import SharedScorer  # noqa: PLC0415 - imports heavy libraries, only now

            return SharedScorer(model, self._settings.socket)
        return _loaded(model, self._settings, self._registry)

    def tagger(self, name: str) -> Tagger:
        """Returns the tagger `name`; see `load_tagger`. Raises `ConfigError`."""
        key = name
        if not name.startswith(SPACY):
            folder = _tagger_folder(name, self._folders)
            key = _digest(folder)
            self._named[key] = name, folder
        with self._loading:
            if (tagger := self._taggers.get(key)) is None:
                tagger = self._taggers[key] = load_tagger(name, self._folders)
            return tagger

    def pairs(self, name: str = PAIRS) -> PairJudge:
        """Returns the judge of pairs `name`, which runs in this process or in the one behind a socket. A server over KServe v2
        does not run it. Raises `ConfigError`."""
        folder = find(name, self._folders)
        key = f"{folder} {verify(folder, PAIR_FILES)[0]}"
        self._named[key] = name, folder
        with self._loading:
            if (judge := self._judges.get(key)) is None:
                judge = self._judges[key] = self._load_pairs(folder)
            return judge

    def _load_pairs(self, folder: Path) -> ModelPairJudge | SharedPairs:
        """As `_load_scorer`."""
        if self._settings.socket:
            from guardproxy.inference.serving import SharedPairs  # noqa: PLC0415 - imports heavy libraries, only now

            return SharedPairs(read_pairs(folder), self._settings.socket)
        return load_pairs(folder, self._settings, self._registry)

    def difficulty(self) -> RequestFeatures:
        """Returns the model of difficulty of requests. Raises `ConfigError`."""
        return read_features(find(DIFFICULTY, self._folders))

    def embedder(self, name: str = EMBEDDING) -> Embedder:
        """Returns the model `name` that turns texts into vectors. Raises `ConfigError`."""
        return self._embedder(name)

    def background(self, name: str = EMBEDDING) -> Sequence[bytes]:
        """Returns the vectors of the ordinary texts that the model `name` has. Raises `ConfigError`."""
        return self._embedder(name).background

    def tokenizer(self, name: str) -> bytes:
        """Returns the file `tokenizer.json` of the model `name`. Raises `ConfigError`."""
        folder = find(name, self._folders)
        verify(folder, (TOKENIZER,))
        return (folder / TOKENIZER).read_bytes()

    def _embedder(self, name: str) -> TableEmbedder:
        from guardproxy.inference.embedding import TableEmbedder  # noqa: PLC0415 - imports heavy libraries, only now

        folder = find(name, self._folders)
        key = verify(folder, VECTOR_FILES)[0]
        self._named[key] = name, folder
        with self._loading:
            if (embedder := self._embedders.get(key)) is None:
                embedder = self._embedders[key] = TableEmbedder(folder)
            return embedder


class DescribedModels(Models):
    """Models that another machine runs: their folders are read and verified, that machine is not asked, and nothing is scored.
    A folder may lack the network itself. `url`: of that machine, for `providers`."""

    def __init__(self, folders: tuple[Path, ...], url: str) -> None:
        super().__init__(folders)
        self._url = url
        self._described: set[str] = set()

    def scorer(self, name: str) -> Scorer:
        """Returns a description in the place of a scorer. Raises `ConfigError`."""
        description = ModelDescription(read(find(name, self._folders), remote=True))
        self._described.add(name)
        return cast("Scorer", description)

    def providers(self) -> dict[str, str]:
        """Returns where each model runs that was asked for."""
        return dict.fromkeys(self._described, self._url)


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


SPACY = "spacy:"
ALIASES = {"accurate": "names"}
"""Words for taggers that are folders of another name."""


def load_tagger(name: str, folders: tuple[Path, ...] = (), threads: int = 1) -> Tagger:
    """Loads the tagger `name`: `fast`, `accurate`, a model folder (see `find`), or `spacy:` and the name or path of a
    spaCy pipeline.

    Raises `ConfigError` when it does not exist or cannot be used.
    """
    if name.startswith(SPACY):
        from guardproxy.inference.names.pipeline import SpacyTagger  # noqa: PLC0415 - imports spaCy, only now

        return SpacyTagger(name.removeprefix(SPACY))
    folder = _tagger_folder(name, folders)
    if kind_of(folder) == "forms":
        from guardproxy.inference.names.fast import FastTagger  # noqa: PLC0415 - imports numpy, only now
        from guardproxy.inference.names.weights import read as read_weights  # noqa: PLC0415 - as above

        return FastTagger(read_weights(folder))
    from guardproxy.inference.names.tagger import OnnxTagger  # noqa: PLC0415 - imports onnxruntime, only now

    return OnnxTagger(read_tags(folder), threads)


def _tagger_folder(name: str, folders: tuple[Path, ...]) -> Path:
    """Returns the folder of a tagger. A folder of that very name comes before an alias. Raises `ConfigError`."""
    if name in ALIASES:
        with suppress(ConfigError):
            return find(name, folders)
    return find(ALIASES.get(name, name), folders)


def _digest(folder: Path) -> str:
    """Returns the digest of a tagger's folder. Raises `ConfigError`."""
    return verify(folder, FAST_FILES if kind_of(folder) == "forms" else TAG_FILES)[0]
