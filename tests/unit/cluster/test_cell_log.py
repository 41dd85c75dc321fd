"""Manifests of snapshots; the log itself is shown with real servers (tests/integration/cluster)."""

import json

import pytest

from rookery.cluster.cell_log import _Manifest, decode_manifest
from rookery.ports import LogUnavailable


def test_a_manifest_comes_back():
    manifest = _Manifest("4f", sequence=9, first=3, chunks=2, size_bytes=10)
    assert decode_manifest(manifest.encode()) == manifest


def test_a_manifest_of_a_later_version_is_not_guessed_at():
    told = json.loads(_Manifest("4f", 9, 3, 2, 10).encode())
    with pytest.raises(LogUnavailable, match="of version 2, and this program knows 1"):
        decode_manifest(json.dumps({**told, "version": 2}).encode())
