"""The Merkle tree against published vectors (RFC 6962's reference tree as in transparency-dev/merkle; proofs of a real
Certificate Transparency log as in golang.org/x/mod/sumdb/tlog/testdata) and against the definition."""

import base64
import json
import random
from pathlib import Path

import pytest

from inframe.trail.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    frontier_of,
    inclusion_path,
    is_consistent,
    leaf_hash,
    root_by_inclusion,
)
from tests.trail import independent_verifier as other

LEAVES = [
    bytes.fromhex(h)
    for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(h)
    for h in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
INCLUSION = {  # (index, size) -> path
    (
        0,
        8,
    ): "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7 "
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e "
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    (
        5,
        8,
    ): "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b "
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0 "
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    (2, 3): "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    (
        1,
        5,
    ): "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d "
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e "
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
}
CONSISTENCY = {  # (old, new) -> path
    (1, 1): "",
    (1, 8): INCLUSION[0, 8],
    (
        6,
        8,
    ): "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a "
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0 "
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    (
        2,
        5,
    ): "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e "
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    (
        6,
        7,
    ): "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a "
    "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f "
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
}


def hexes(text: str) -> list[bytes]:
    return [bytes.fromhex(h) for h in text.split()]


class Tree:
    """All hashes of a small tree, in memory."""

    def __init__(self, hashes: list[bytes]) -> None:
        self.hashes = hashes

    def node(self, level: int, index: int) -> bytes:
        return other.tree_hash(self.hashes[index << level : (index + 1) << level])


REFERENCE = Tree([leaf_hash(leaf) for leaf in LEAVES])


def test_roots() -> None:
    grown = Frontier()
    assert (
        grown.root() == EMPTY_ROOT == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        grown.push(leaf_hash(leaf))
        assert grown.root() == root


@pytest.mark.parametrize(("where", "path"), INCLUSION.items())
def test_inclusion(where: tuple[int, int], path: str) -> None:
    index, size = where
    hashed = leaf_hash(LEAVES[index])
    assert inclusion_path(index, size, REFERENCE.node) == hexes(path)
    assert root_by_inclusion(index, size, hashed, hexes(path)) == ROOTS[size - 1]


@pytest.mark.parametrize(("sizes", "path"), CONSISTENCY.items())
def test_consistency(sizes: tuple[int, int], path: str) -> None:
    old, new = sizes
    assert consistency_path(old, new, REFERENCE.node) == hexes(path)
    assert is_consistent(old, ROOTS[old - 1], new, ROOTS[new - 1], hexes(path))


def corrupted(path: list[bytes], root: bytes) -> list[list[bytes]]:
    """The corruptions of transparency-dev/merkle's proof/verify_test.go."""
    made = [[*path, b""], [*path, root], [b"", *path], [root, *path], path[:-1] if path else [root]]
    for i, step in enumerate(path):
        made.append([*path[:i], bytes([step[0] ^ 8]) + step[1:], *path[i + 1 :]])
    return made


@pytest.mark.parametrize(("where", "path"), INCLUSION.items())
def test_a_corrupt_inclusion_proof_fails(where: tuple[int, int], path: str) -> None:
    (index, size), steps, root = where, hexes(path), ROOTS[where[1] - 1]
    hashed = leaf_hash(LEAVES[index])
    for wrong in corrupted(steps, root):
        assert root_by_inclusion(index, size, hashed, wrong) != root
    for other_index, other_size in (
        (index - 1, size),
        (index + 1, size),
        (index ^ 2, size),
        (index, size * 2),
        (index, size // 2),
    ):
        assert root_by_inclusion(other_index, other_size, hashed, steps) != root
    assert root_by_inclusion(index, size, leaf_hash(b"WrongLeaf"), steps) != root


@pytest.mark.parametrize(("sizes", "path"), [(sizes, path) for sizes, path in CONSISTENCY.items() if path])
def test_a_corrupt_consistency_proof_fails(sizes: tuple[int, int], path: str) -> None:
    (old, new), steps = sizes, hexes(path)
    first, second = ROOTS[old - 1], ROOTS[new - 1]
    for wrong in [*corrupted(steps, first), *corrupted(steps, second), []]:
        assert not is_consistent(old, first, new, second, wrong)
    for a, b in ((old - 1, new), (old + 1, new), (old ^ 2, new), (old, new * 2), (old, new // 2)):
        assert not is_consistent(a, first, b, second, steps)
    assert not is_consistent(old, second, new, first, steps)
    assert not is_consistent(old, b"WrongRoot", new, second, steps)


def test_proofs_of_a_real_log() -> None:
    """Google's Argon 2020 log, 961,984,013 leaves."""
    data = json.loads((Path(__file__).parent / "argon2020.json").read_text())
    decoded = base64.b64decode
    path = [decoded(step) for step in data["audit_path"]]
    root = decoded(data["sha256_root_hash"])
    hashed = leaf_hash(decoded(data["leaf_input"]))
    assert root_by_inclusion(data["leaf_index"], data["tree_size"], hashed, path) == root
    assert root_by_inclusion(data["leaf_index"] + 1, data["tree_size"], hashed, path) != root
    steps = [decoded(step) for step in data["consistency"]]
    assert is_consistent(data["first"], decoded(data["first_root"]), data["tree_size"], root, steps)
    assert not is_consistent(data["first"] - 1, decoded(data["first_root"]), data["tree_size"], root, steps)


def test_every_proof_of_every_small_tree() -> None:
    """Against the recursive definition, by the other implementation."""
    rng = random.Random(3)
    hashes = [rng.randbytes(32) for _ in range(40)]
    tree = Tree(hashes)
    roots = [other.tree_hash(hashes[:size]) for size in range(41)]
    for size in range(1, 41):
        assert frontier_of(size, tree.node).root() == roots[size]
        for index in range(size):
            path = inclusion_path(index, size, tree.node)
            assert (
                root_by_inclusion(index, size, hashes[index], path)
                == roots[size]
                == other.root_from(index, size, hashes[index], path)
            )
        for old in range(size + 1):
            path = consistency_path(old, size, tree.node)
            assert is_consistent(old, roots[old], size, roots[size], path)
            assert not is_consistent(old, roots[old - 1], size, roots[size], path)
