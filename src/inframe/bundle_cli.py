"""`inframe bundle …`: make a bundle, sign it, check it, look into it. Exit code 2 where it does not verify."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inframe.core.errors import ConfigError
from inframe.terminal import JsonFile, out, write_file, write_json

if TYPE_CHECKING:
    from inframe.bundle import Bundle, Policy
    from inframe.bundle.keys import Signer

bundle = typer.Typer(
    name="bundle",
    help="Signed models: pack, sign, verify, look into, compare.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

BundleFile = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's file.", show_default=False)]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="Whose signatures it must have (YAML). None: only its digests are checked."),
]


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _policy(path: Path | None) -> "Policy":
    from inframe.bundle import UNSIGNED, Policy

    return Policy.load(path) if path is not None else UNSIGNED


@bundle.command()
def key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The private key; FILE.pub gets the public one.")],
    scheme: Annotated[
        str, typer.Option(help="ed25519, ecdsa-p256, ecdsa-p384, ml-dsa-44, ml-dsa-65 or ml-dsa-87.")
    ] = "ed25519",
    password: Annotated[Path | None, typer.Option(help="A file with the password to encrypt it with.")] = None,
) -> None:
    """Make a key that signs bundles, in a file. For releases, keep it in a token: see the page on bundles."""
    from typing import get_args

    from inframe.bundle.keys import Scheme, new_signer, write_keys

    known: tuple[Scheme, ...] = get_args(Scheme)
    for one in known:
        if one == scheme:
            signer = new_signer(one)
            public = write_keys(signer, file, _password(password))
            _say(f"{file} (keep it secret), {public}: {scheme}, id {signer.key.id}")
            return
    raise ConfigError("inframe bundle key", "--scheme", scheme, f"one of {', '.join(known)}")


@bundle.command()
def golden(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="bundle.yaml, beside the files that it names.")],
) -> None:
    """Run the models on their golden frames and write down what they answer, where the recipe's outputs are not there yet."""
    from inframe.golden import write_golden

    for file in write_golden(recipe) or ["nothing: all outputs are there"]:
        _say(f"written: {file}")


@bundle.command()
def pack(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="bundle.yaml, beside the files that it names.")],
    file: Annotated[Path | None, typer.Option("--out", help="The bundle. Default: NAME-VERSION.inframe.")] = None,
    counter: Annotated[int | None, typer.Option(min=1, help="The release counter, in place of the recipe's.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Make a bundle of a recipe and the files that it names, with its bill of materials. Nobody has signed it yet."""
    from inframe.bundle import UNSIGNED, making
    from inframe.bundling import facts

    manifest, header, members = making.pack(recipe, {"counter": counter} if counter is not None else None)
    path = file if file is not None else Path(f"{manifest.bundle}-{manifest.version}.inframe")
    making.put(path, [header, *members], replacing=False)
    with _opened(path, None) as made:
        _say(f"{path}: {made.name}, {len(members)} members, sha256 {made.digest}, not signed")
        write_json(json_file, facts(made, UNSIGNED))


@bundle.command()
def sign(
    file: BundleFile,
    key_file: Annotated[Path | None, typer.Option("--key", help="The private key (PEM).", show_default=False)] = None,
    password: Annotated[Path | None, typer.Option(help="A file with the password, PIN or auth of the key.")] = None,
    token: Annotated[
        str | None,
        typer.Option("--pkcs11", metavar="URI", help="A key in a token: pkcs11:token=…;object=…?module-path=…"),
    ] = None,
    tpm: Annotated[
        str | None, typer.Option("--tpm", metavar="HANDLE", help="A key in a TPM: its persistent handle, 0x81…")
    ] = None,
    tcti: Annotated[str, typer.Option("--tcti", help="Where that TPM is.")] = "device:/dev/tpmrm0",
    attach: Annotated[
        Path | None,
        typer.Option("--attach", metavar="MODEL.SIG", help="A signature that OpenSSF's model_signing made."),
    ] = None,
    public: Annotated[Path | None, typer.Option("--public", help="With --attach: the public key (PEM).")] = None,
) -> None:
    """Add a signature to a bundle. Those of other keys stay; one of the same key is made anew."""
    from inframe.bundle import making, openssf
    from inframe.bundle.keys import read_public_key

    given = [one for one in (key_file, token, tpm, attach) if one is not None]
    if len(given) != 1 or (attach is None) != (public is None):
        raise ConfigError(
            "inframe bundle sign", "--key", f"{len(given)} of them", "--key, --pkcs11, --tpm, or --attach with --public"
        )
    with _opened(file, None) as found:
        if attach is not None and public is not None:
            key = read_public_key(public, "--public")
            header = making.attach(str(attach), found, openssf.read(attach), key)
        else:
            signer = _signer(key_file, token, password) if tpm is None else _tpm(tpm, tcti, password)
            key, header = signer.key, making.sign(found, signer)
        making.put(file, [header, *(found.member(name) for name, _ in found.header.members)], replacing=True)
    _say(f"{file}: signed by {key.scheme} {key.id}")


def _signer(key_file: Path | None, token: str | None, password: Path | None) -> "Signer":
    if key_file is not None:
        from inframe.bundle.keys import read_signer

        return read_signer(key_file, _password(password))
    from inframe.bundle.pkcs11 import token_signer

    return token_signer(token or "", _password(password))


def _tpm(handle: str, tcti: str, auth: Path | None) -> "Signer":
    from inframe.bundle.tpm import tpm_signer

    return tpm_signer(handle, tcti, auth)


def _password(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(path, "--password", error.strerror or error, "a readable file") from None


@bundle.command()
def verify(file: BundleFile, policy: PolicyFile = None, json_file: JsonFile = None) -> None:
    """Check a bundle as a device does before it loads it: structure, signatures, digests, manifest."""
    from inframe.bundling import facts

    with _opened(file, policy) as found:
        _say(f"OK    {file}: {found.name}, sha256 {found.digest}")
        _say(f"      signed by {', '.join(found.signed_by)}" if policy else "      UNSIGNED: no policy was given")
        write_json(json_file, facts(found, _policy(policy)))


@bundle.command()
def show(
    file: BundleFile,
    policy: PolicyFile = None,
    unpack: Annotated[Path | None, typer.Option(help="Write the members into this new folder.")] = None,
    signature: Annotated[
        Path | None,
        typer.Option(help="Write an ECDSA signature as OpenSSF's model_signing reads it, for --unpack's folder."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Say what a bundle is: members, signatures, what its manifest says. Unpack it for other tools."""
    from inframe import bundling

    trusted = _policy(policy)
    with _opened(file, policy) as found:
        facts = bundling.facts(found, trusted)
        _say(f"{found.name}\nsha256 {found.digest}\n{found.manifest.intended_use}\n")
        for name, one in found.manifest.models.items():
            _say(f"model {name}: {one.file}, {one.decode.kind}, {len(one.labels)} labels, {one.budget_ms:g} ms a run")
        for member in facts["members"]:
            _say(f"{member['sha256']}  {member['bytes']:>12,}  {member['name']}")
        for one in facts["signatures"]:
            _say(f"signed by {one['name'] or 'a key that nobody named'}, key {one['key']}")
        if not found.signed_by:
            _say(
                "UNSIGNED"
                if not facts["signatures"]
                else "UNSIGNED: without --policy nobody has checked the signatures"
            )
        if unpack is not None:
            bundling.unpack(found, unpack)
        if signature is not None:
            write_file(signature, "--signature", bundling.openssf_signature(found, trusted))
        write_json(json_file, facts)


@bundle.command()
def diff(old: BundleFile, new: BundleFile, json_file: JsonFile = None) -> None:
    """Say what differs between two bundles: manifest, field by field, and members. Exit code 1 where anything does."""
    from rich.table import Table

    from inframe.bundle.comparing import differences

    with _opened(old, None) as before, _opened(new, None) as after:
        found = differences(before, after)
    table = Table("what", str(old), str(new), box=None)
    for where, was, now in found:
        table.add_row(where, "-" if was is None else str(was), "-" if now is None else str(now))
    if found:
        out.print(table)
    write_json(json_file, [{"field": where, "old": was, "new": now} for where, was, now in found])
    if found:
        raise typer.Exit(1)


def _opened(path: Path, policy: Path | None) -> "Bundle":
    from inframe.bundle import open_bundle

    return open_bundle(path, _policy(policy))
