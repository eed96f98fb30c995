"""Status: the document that `maestro status` prints.

Rule: reads only. Its keys are listed in PROTOCOL.md.
"""

from __future__ import annotations

import heapq
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_broker.files import disk, index_files
from maestro_runtime import mounts
from maestro_schemas import PROTOCOL_VERSION, __version__
from maestro_schemas.limits import DOCS

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Set as AbstractSet

    from maestro_broker.attachments.blob_store import BlobStore
    from maestro_broker.commit.log import CommitLog
    from maestro_broker.core.model.state import State
    from maestro_broker.outbox.drain import OutboxDrainer
    from maestro_broker.transport.curve_listener import CurveListener
    from maestro_broker.transport.local_listener import LocalListener
    from maestro_broker.views.signs.presence_watch import PresenceWatch
    from maestro_broker.views.spool_writer import SpoolWriter
    from maestro_broker.views.sweeper import Sweeper
    from maestro_broker.views.write_behind import WriteBehindQueue

    from .admission import Admission
    from .commit_pipeline import CommitPipeline
    from .metrics import BrokerMetrics
    from .options import BrokerOptions
    from .searching.index_process import IndexProcess
    from .waking.wake_task import WakeTask

# How many mailboxes with the most pending mail are named.
_FULLEST = 5


class Status(NamedTuple):
    """The parts of the broker that the document reports on."""

    options: BrokerOptions
    epoch: str
    started_ms: int
    warnings: Collection[str]
    state: State
    topics: AbstractSet[str]
    log: CommitLog
    pipeline: CommitPipeline
    queue: WriteBehindQueue
    writer: SpoolWriter
    sweeper: Sweeper
    outbox: OutboxDrainer
    blobs: BlobStore
    metrics: BrokerMetrics
    admission: Admission
    local: LocalListener
    curve: CurveListener | None
    presence: PresenceWatch
    wakes: WakeTask
    searches: IndexProcess

    def document(self, now_ms: int) -> dict[str, Any]:
        """The whole document."""
        state, options, queue = self.state, self.options, self.queue
        waiting, failed = self.outbox.counts()
        committed_lsn = self.pipeline.committed_lsn
        files = self.blobs.size
        return {
            "version": __version__,
            "protocol": PROTOCOL_VERSION,
            "pid": os.getpid(),
            "epoch": self.epoch,
            "dataDir": options.data,
            "runtimeDir": options.runtime,
            "startedAt": self.started_ms,
            "uptimeMs": now_ms - self.started_ms,
            "headLsn": committed_lsn,
            "filedLsn": state.filed_lsn if queue.unfiled else committed_lsn,
            "checkpointLsn": self.writer.checkpoint_lsn,
            "filingBacklog": len(queue.unfiled),
            "filingBacklogBytes": queue.total_bytes,
            "sessions": dict(state.sessions.counts),
            "mailboxes": mailboxes(state),
            "watchers": len(self.topics),
            "presence": self.presence.stats(),
            "wakes": self.wakes.stats(),
            "index": {"bytes": index_files.bytes_of(options.data), **self.searches.stats()},
            "messages": self.metrics.messages(),
            "refusedByCode": self.metrics.refusals(),
            "commit": self.metrics.commits(),
            "sweep": self.sweeper.stats(),
            "outbox": {"waiting": waiting, "failed": failed},
            "connections": self.local.router.stats(),
            "refused": dict(self.admission.refused),
            "attachments": {
                "files": files.blobs,
                "bytes": files.total_bytes,
                "bytesMax": options.limits.attachments_total_bytes_max,
            },
            "disk": {
                "freeBytes": disk.free_bytes(options.data),
                "journalBytes": self.log.held_bytes,
                "mailBytes": self.sweeper.mail_bytes,
                "fileSystem": mounts.file_system(options.data),
            },
            **({"tcp": self.curve.stats()} if self.curve is not None else {}),
            "limits": limits_shown(options),
            "config": config_shown(options),
            "warnings": [
                *self.warnings,
                *filter(None, (self.writer.waiting, self.sweeper.failure, self.presence.failure)),
            ],
        }


def limits_shown(options: BrokerOptions) -> dict[str, dict[str, Any]]:
    """Each limit: value, unit, where it came from (and which line or variable), what it is."""
    shown: dict[str, dict[str, Any]] = {}
    for name, value in options.limits._asdict().items():
        shown[name] = {
            "value": value,
            "unit": DOCS[name].unit,
            "from": options.origins[name],
            "what": DOCS[name].text,
        }
        if name in options.places:
            shown[name]["where"] = options.places[name]
    return shown


def config_shown(options: BrokerOptions) -> dict[str, Any]:
    """The config file as it was read at the start: its path, its digest (empty: none was there), and what it says of
    projects."""
    file = options.file
    projects = {
        project: {
            name: {"value": value, "unit": DOCS[name].unit, "where": file.where("projects", project, name)}
            for name, value in own.items()
        }
        for project, own in options.projects.items()
    }
    return {"path": file.path, "digest": file.digest, "projects": projects}


def mailboxes(state: State) -> dict[str, object]:
    """How many there are, how much of them is pending, and the fullest."""
    used = state.used_mailboxes()
    fullest = heapq.nlargest(_FULLEST, used, key=lambda mailbox: mailbox.pending)
    return {
        "known": len(state.mailboxes),
        "loaded": sum(mailbox.loaded and mailbox.held > 0 for mailbox in used),
        "pending": sum(mailbox.pending for mailbox in used),
        "fullest": {mailbox.session: mailbox.pending for mailbox in fullest if mailbox.pending},
    }
