"""A second implementation of what a trail's checkpoints, tiles, bundles and proofs must be, written from the published
specifications alone (c2sp.org: tlog-tiles, tlog-checkpoint, signed-note, tlog-proof; RFC 6962 section 2.1; RFC 8032). It uses
the standard library only and imports nothing of inframe, not even for Ed25519.

    python independent_verifier.py FOLDER KEY        a log (it has a file `checkpoint`) or an export (it has *.tlog-proof)
"""

import base64
import hashlib
import sys
from pathlib import Path


class Wrong(Exception):
    """It does not verify."""


# --- Ed25519 (RFC 8032 section 5.1), verification only ---------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point(raw: bytes) -> tuple[int, int, int, int]:
    """Decompress (RFC 8032 section 5.1.3) into extended coordinates."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        raise Wrong("a point beyond the field")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        raise Wrong("no point of the curve")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def add(p: tuple[int, int, int, int], q: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """RFC 8032 section 5.1.4."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n: int, p: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """n·p."""
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, p)
        p, n = add(p, p), n >> 1
    return result


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """RFC 8032 section 5.1.7."""
    if len(public) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    a, r = point(public), point(signature[:32])
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# --- signed-note, tlog-checkpoint ------------------------------------------------------------------------------------


def checkpoint_of(note: bytes, key: str) -> tuple[int, bytes]:
    """Size and root hash of a checkpoint that `key` (name+id+base64) signed."""
    name, key_id, coded = key.split("+", 2)
    raw = base64.b64decode(coded, validate=True)
    if raw[0] != 1 or hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() != key_id:
        raise Wrong("not an Ed25519 key of a log")
    cut = note.rindex(b"\n\n") + 1
    text, lines = note[:cut], note[cut + 1 :].decode().splitlines()
    for line in lines:
        dash, signer, blob = line.split(" ")
        signature = base64.b64decode(blob, validate=True)
        if dash == "—" and signer == name and signature[:4].hex() == key_id:
            if not ed25519_verifies(raw[1:], text, signature[4:]):
                raise Wrong("the log's signature")
            origin, size, root = text.decode().split("\n")[:3]
            if origin != name or str(int(size)) != size:
                raise Wrong("the checkpoint's origin or size")
            return int(size), base64.b64decode(root, validate=True)
    raise Wrong("no signature by that key")


# --- RFC 6962 --------------------------------------------------------------------------------------------------------


def tree_hash(leaves: list[bytes]) -> bytes:
    """MTH of section 2.1, over hashes of leaves."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def root_from(index: int, size: int, hashed: bytes, path: list[bytes]) -> bytes:
    """The root that an audit path leads to, by the definition of PATH in section 2.1.1."""
    if size == 1:
        if path or index:
            raise Wrong("the length of the path")
        return hashed
    if not path:
        raise Wrong("the length of the path")
    k = 1
    while k * 2 < size:
        k *= 2
    if index < k:
        return hashlib.sha256(b"\x01" + root_from(index, k, hashed, path[:-1]) + path[-1]).digest()
    return hashlib.sha256(b"\x01" + path[-1] + root_from(index - k, size - k, hashed, path[:-1])).digest()


# --- tlog-tiles ------------------------------------------------------------------------------------------------------


def tile_name(kind: str, index: int, width: int) -> str:
    """<kind>/<N>[.p/<W>]."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return (
        "tile/"
        + kind
        + "/"
        + "/".join(["x" + part for part in parts[:-1]] + parts[-1:])
        + (f".p/{width}" if width < 256 else "")
    )


def verify_log(folder: Path, key: str) -> tuple[int, bytes]:
    """Read every bundle and every tile that the checkpoint requires; compare all with what the entries hash to."""
    size, root = checkpoint_of((folder / "checkpoint").read_bytes(), key)
    row: list[bytes] = []
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        data = (folder / tile_name("entries", index, width)).read_bytes()
        for _ in range(width):
            length = int.from_bytes(data[:2], "big")
            entry, data = data[2 : 2 + length], data[2 + length :]
            if len(entry) != length:
                raise Wrong(f"bundle {index} is cut")
            row.append(hashlib.sha256(b"\x00" + entry).digest())
        if data:
            raise Wrong(f"bundle {index} goes on")
    if tree_hash(row) != root:
        raise Wrong("the root hash")
    level = 0
    while row:
        for index in range(-(-len(row) // 256)):
            part = row[256 * index : 256 * (index + 1)]
            if (folder / tile_name(str(level), index, len(part))).read_bytes() != b"".join(part):
                raise Wrong(f"tile {index} of level {level}")
        row = [tree_hash(row[i : i + 256]) for i in range(0, len(row) - 255, 256)]
        level += 1
    return size, root


# --- tlog-proof ------------------------------------------------------------------------------------------------------


def verify_proof(data: bytes, key: str) -> tuple[int, bytes]:
    """Index and entry (out of the `extra` line) of a proof."""
    head, note = data.split(b"\n\n", 1)
    first, extra, index, *path = head.decode().split("\n")
    if first != "c2sp.org/tlog-proof@v1" or not extra.startswith("extra ") or not index.startswith("index "):
        raise Wrong("not a tlog-proof")
    entry = base64.b64decode(extra[6:], validate=True)
    size, root = checkpoint_of(note, key)
    hashed = hashlib.sha256(b"\x00" + entry).digest()
    if root_from(int(index[6:]), size, hashed, [base64.b64decode(step, validate=True) for step in path]) != root:
        raise Wrong("the path does not lead to the root")
    return int(index[6:]), entry


def main(folder: Path, key: str) -> str:
    """Verify either kind of folder."""
    if (folder / "checkpoint").exists():
        return f"{verify_log(folder, key)[0]} leaves verify"
    proofs = sorted(folder.glob("*.tlog-proof"))
    found = [verify_proof(path.read_bytes(), key)[0] for path in proofs]
    if not found or found != list(range(found[0], found[0] + len(found))):
        raise Wrong("leaves are missing")
    return f"leaves {found[0]} to {found[-1]} verify"


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))  # noqa: T201
