"""Template images: downloaded once, put into a storage pool on first use, never twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from structlog.typing import FilteringBoundLogger

from controller.images import Image, ImageCache, ImageError, Source
from controller.inventory import HostLink
from controller.runtime.clock import Clock
from controller.runtime.keys import Key
from controller.shared.errands import Broken, ErrandFailed, Errands, Finished, Report, Working
from crds.v1alpha1.template import Template
from drivers.errors import AuthFailed, DriverError, InvalidSpec, Unsupported
from drivers.types import Failed, ImageFile, PoolSpec, Running, Started, Succeeded

_POLL = 1.0
_HYPERVISOR_RETRY = 15.0

Seeding = Finished[None] | Working | Broken
Download = Finished[Image] | Working | Broken


class Library:
    """Downloads by Template uid, copies by image and pool. Nothing of it is durable: pools are asked again after a restart."""

    def __init__(
        self, cache: ImageCache, cache_size: int, wake: Callable[[Key], None], clock: Clock, log: FilteringBoundLogger
    ) -> None:
        """`cache_size` in bytes is what the cache is trimmed to after each download, as far as nobody is reading from it."""
        self._cache = cache
        self._cache_size = cache_size
        self._downloads: Errands[str, Image] = Errands(wake, clock, log)
        self._copies: Errands[tuple[str, str], None] = Errands(wake, clock, log)

    def download(self, template: Template) -> Download:
        """How the download of a Template stands; begun by the first call."""
        return self._downloads.ask(template.metadata.uid, partial(self._download, source_of(template)), Key.of(template))

    def ensure(self, template: Template, pool: PoolSpec, link: HostLink, waiter: Key) -> Seeding:
        """How the copy of a downloaded Template in a pool stands; begun by the first call, through `link`.

        `waiter` is woken when it ends, and so is the Template, which remembers where its image is.
        """
        place, work = (image_name(template), pool.name), partial(self._copy, template, pool, link)
        self._copies.ask(place, work, Key.of(template))
        return self._copies.ask(place, work, waiter)

    def pools(self, template: Template) -> list[str]:
        """The pools that the image was, or is being, copied to by this process."""
        return [pool for image, pool in self._copies.known() if image == image_name(template)]

    def copies(self, template: Template, pool: str) -> Seeding | None:
        """How the copy in a pool stands, None if nobody asked for it in this process."""
        return self._copies.state((image_name(template), pool))

    def lost(self, template: Template, pool: str) -> None:
        """The pool turned out not to have the image: copy it again when asked."""
        self._copies.forget((image_name(template), pool))

    def forget(self, uid: str) -> None:
        """The Template is gone, or its download has been taken note of."""
        self._downloads.forget(uid)

    async def close(self) -> None:
        """Stop all downloads and copies; they go on where they were with the next process."""
        await asyncio.gather(self._downloads.close(), self._copies.close())

    async def _download(self, source: Source, report: Report) -> Image:
        try:
            image = await self._cache.download(source, report)
            await asyncio.to_thread(self._cache.evict, self._cache_size, {image.file.name, *self._being_copied()})
            return image
        except ImageError as error:
            raise ErrandFailed(error.reason, error.message, terminal=error.terminal, retry_after=error.retry_after) from error

    def _being_copied(self) -> list[str]:
        return [image for image, _ in self._copies.under_way()]

    async def _copy(self, template: Template, pool: PoolSpec, link: HostLink, report: Report) -> None:
        try:
            if await link.has_image(pool, image_name(template)):
                return
            image = await self._file(template, report)
            report("Copying", None)
            outcome = await link.put_image(pool, image)
            if isinstance(outcome, Started):
                await self._follow(link, outcome, report)
        except DriverError as error:
            lasting = isinstance(error, InvalidSpec | AuthFailed | Unsupported)
            raise ErrandFailed(error.reason, str(error), retry_after=_HYPERVISOR_RETRY * (4 if lasting else 1)) from error

    async def _follow(self, link: HostLink, started: Started, report: Report) -> None:
        while True:
            match await link.poll(started.op):
                case Running(percent):
                    report("Copying", percent)
                case Succeeded():
                    return
                case Failed(reason):
                    raise ErrandFailed("CopyFailed", reason, retry_after=_HYPERVISOR_RETRY)
            await asyncio.sleep(_POLL)

    async def _file(self, template: Template, report: Report) -> ImageFile:
        """The image on our own disk, downloaded again if the cache no longer has it."""
        kept = self._cache.lookup(image_name(template))
        if kept is not None:
            return kept.file
        image = await self._download(source_of(template), report)
        if image.file.name != image_name(template):
            text = f"{source_of(template).shown} no longer has the content that was downloaded first; make another Template of it"
            raise ErrandFailed("SourceChanged", text, terminal=True)
        return image.file


def source_of(template: Template) -> Source:
    """The checked source of a Template. Raises ImageError."""
    spec = template.spec
    return Source.parse(spec.source.url, spec.format, spec.source.checksum)


def image_name(template: Template) -> str:
    """The name that the image of a downloaded Template has in every pool, see `ImageCache`."""
    return f"{template.spec.format.lower()}-{(template.status.checksum or '').removeprefix('sha256:')}"
